package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"accountservice/tests/harness"
)

const servicesUser = 65532

// as makes the command one of this user.
func as(cmd *exec.Cmd, user uint32) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("running commands as another user takes root")
	}
}

// openFolder returns a folder that every user can reach, of this owner and mode.
func openFolder(t *testing.T, owner int, mode fs.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	harness.Must(t, os.Chmod(filepath.Dir(dir), 0o755))
	harness.Must(t, os.Chmod(dir, mode))
	harness.Must(t, os.Chown(dir, owner, owner))
	return dir
}

// traces are all facts of a folder and its files that a command could change.
func traces(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	harness.Must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		found[path] = fmt.Sprint(info.Mode(), s.Uid, s.Ino, s.Nlink, s.Mtim, s.Ctim)
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			found[path] += string(content)
			return err
		}
		return nil
	}))
	return found
}

func TestCommandsThatReadLeaveNoTrace(t *testing.T) {
	for place, prepare := range map[string]func(*testing.T, string) (user uint32){
		"a folder": func(*testing.T, string) uint32 { return uint32(os.Geteuid()) },
		"a read-only mount": func(t *testing.T, dir string) uint32 {
			needsRoot(t)
			harness.ReadOnly(t, dir)
			return 0
		},
		"files of another user": func(t *testing.T, dir string) uint32 {
			needsRoot(t)
			for name := range traces(t, dir) {
				harness.Must(t, os.Chmod(name, 0o555))
			}
			return servicesUser
		},
	} {
		t.Run(place, func(t *testing.T) {
			dir := openFolder(t, os.Geteuid(), 0o755)
			path, file := filepath.Join(dir, "accounts.db"), write(t, line(1)+line(2))
			runs(t, command(path, "import", file)).is(t, 0, "2 created", "")
			user := prepare(t, dir)
			before := traces(t, dir)
			for name, c := range map[string]struct {
				args   []string
				stdout string
			}{
				"export":           {[]string{"export"}, line(1) + line(2)},
				"import --dry-run": {[]string{"import", "--dry-run", "-"}, "1 would be created, 0 replaced, 1 unchanged"},
				"verify":           {[]string{"verify", path}, "is intact: 2 accounts"},
			} {
				cmd := as(command(path, c.args...), user)
				cmd.Stdin = strings.NewReader(line(2) + line(3))
				runs(t, cmd).is(t, 0, c.stdout, "")
				if after := traces(t, dir); !maps.Equal(before, after) {
					t.Errorf("%s changed the folder: %q, before %q", name, after, before)
				}
			}
		})
	}
}

func TestCommandsOfRootLeaveFilesOfTheServicesUser(t *testing.T) {
	needsRoot(t)
	dir := openFolder(t, servicesUser, 0o700)
	path, file := filepath.Join(dir, "accounts.db"), write(t, line(1))
	out := filepath.Join(dir, "out.ndjson")
	for _, args := range [][]string{
		{"import", "--dry-run", file}, {"import", file}, {"export", "--output", out}, {"export", "--output", out}, {"verify", path},
	} {
		runs(t, command(path, args...)).is(t, 0, "", "")
		for path := range traces(t, dir) {
			info, err := os.Stat(path)
			harness.Must(t, err)
			if owner := info.Sys().(*syscall.Stat_t); owner.Uid != servicesUser || owner.Gid != servicesUser || info.Mode()&0o077 != 0 {
				t.Errorf("%v of root left %s of %d:%d, %s", args, path, owner.Uid, owner.Gid, info.Mode())
			}
		}
	}
	cmd := as(command(path, "import", "-"), servicesUser)
	cmd.Stdin = strings.NewReader(line(2))
	runs(t, cmd).is(t, 0, "1 created", "")

	harness.Must(t, os.Chown(path+".witness", 0, 0)) // as an older version left it
	cmd = as(command(path, "import", "-"), servicesUser)
	cmd.Stdin = strings.NewReader(line(3))
	runs(t, cmd).is(t, 0, "1 created", "permission denied")
	if info, err := os.Stat(path + ".witness"); err != nil || info.Sys().(*syscall.Stat_t).Uid != servicesUser {
		t.Errorf("the witness is not made anew: %v, %v", info, err)
	}
}

// traced is accountservice under strace with these options, and the file with the system calls.
func traced(t *testing.T, cmd *exec.Cmd, options ...string) (traced *exec.Cmd, calls string) {
	t.Helper()
	harness.NeedStrace(t)
	calls = filepath.Join(t.TempDir(), "calls")
	args := append([]string{"-f", "-qq", "-s", "1000", "-o", calls}, options...)
	traced = exec.Command("strace", append(append(args, cmd.Path), cmd.Args[1:]...)...)
	traced.Env = cmd.Env
	return traced, calls
}

// opensOnlyItself fails for each call that opens what is beside the database, and would follow a link there.
func opensOnlyItself(t *testing.T, path, calls string) (seen int) {
	t.Helper()
	text := harness.Read(t, calls)
	for call := range strings.Lines(text) {
		if !strings.Contains(call, filepath.Dir(path)+"/") {
			continue
		}
		seen++
		if !strings.Contains(call, "O_NOFOLLOW") && !strings.Contains(call, "O_EXCL") {
			t.Error(call)
		}
	}
	return seen
}

// Who may write the folder could put a link there at any moment.
func TestNothingBesideTheDatabaseIsOpenedThroughALink(t *testing.T) {
	t.Parallel()
	const opens = "trace=open,openat,openat2,creat"
	path, file := newPath(t), write(t, line(1))
	seen := 0
	for _, args := range [][]string{{"import", file}, {"import", file}, {"export"}} {
		cmd, calls := traced(t, command(path, args...), "-e", opens)
		runs(t, cmd).is(t, 0, "", "")
		seen += opensOnlyItself(t, path, calls)
	}
	cmd, calls := traced(t, exec.Command(binary()), "-e", opens)
	p := harness.Start(t, cmd, path)
	signal := func(s syscall.Signal) error { // to the service: strace passes none on
		text, _ := os.ReadFile(calls)
		var service int
		if _, err := fmt.Sscan(string(text), &service); err != nil {
			return err
		}
		return syscall.Kill(service, s)
	}
	t.Cleanup(func() { signal(syscall.SIGKILL) })
	p.Await(t, "/health?strict", 200) // every check has run
	harness.Must(t, signal(syscall.SIGTERM))
	p.Exits(t, 0)
	if seen += opensOnlyItself(t, path, calls); seen < 8 {
		t.Errorf("only %d calls were seen", seen)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	for _, target := range []string{path, link + ".nowhere"} {
		os.Remove(link)
		harness.Must(t, os.Symlink(target, link))
		runs(t, command(link, "import", file)).is(t, 1, "", "is a symbolic link")
		absent(t, link+".nowhere")
	}
}

func TestFileSystemWithoutLocksIsNamed(t *testing.T) {
	t.Parallel()
	path, file := newPath(t), write(t, line(1))
	runs(t, command(path, "import", file)).is(t, 0, "", "")
	for _, errno := range []string{"ENOLCK", "EOPNOTSUPP", "ENOSYS"} {
		for _, c := range []struct {
			code int
			args []string
		}{{1, nil}, {1, []string{"import", file}}, {1, []string{"export"}}, {2, []string{"verify", path}}} {
			cmd := with(command(path, c.args...), "ACCOUNTSERVICE_HTTP_PORT="+fmt.Sprint(harness.Port(t)), "ACCOUNTSERVICE_ADMIN_ADDR=off")
			cmd, _ = traced(t, cmd, "-e", "trace=flock", "-e", "inject=flock:error="+errno)
			runs(t, cmd).is(t, c.code, "", "its file system has no locks")
		}
		fresh := newPath(t)
		cmd, _ := traced(t, command(fresh, "import", file), "-e", "trace=flock", "-e", "inject=flock:error="+errno)
		runs(t, cmd).is(t, 1, "", "its file system has no locks")
		wantFiles(t, fresh)
	}
	// of each thread the first call
	cmd, _ := traced(t, command(path, "export"), "-e", "trace=flock", "-e", "inject=flock:error=EINTR:when=1")
	runs(t, cmd).is(t, 0, line(1), "")
}

func TestOutputThatCannotBeWrittenIsNoUsage(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	runs(t, command(path, "import", write(t, line(1)))).is(t, 0, "", "")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	harness.Must(t, err)
	defer full.Close()
	unread, closed, err := os.Pipe()
	harness.Must(t, err)
	unread.Close()
	defer closed.Close()
	for _, args := range [][]string{
		{"config", "print"}, {"config", "check"}, {"config", "docs"}, {"export"}, {"import", "--dry-run", os.DevNull},
		{"completion", "bash"}, {"verify", path},
	} {
		want := 1
		if args[0] == "verify" { // there, 1 is damage
			want = 2
		}
		var said strings.Builder
		cmd := command(path, args...)
		cmd.Stdout, cmd.Stderr = full, &said
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want || !strings.Contains(said.String(), "no space left on device") ||
			strings.Contains(said.String(), "--help") {
			t.Errorf("%v into a full device: exit %d, %q", args, code, &said)
		}
		said.Reset()
		cmd = command(path, args...)
		cmd.Stdout, cmd.Stderr = closed, &said
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want || said.Len() > 0 {
			t.Errorf("%v without a reader: exit %d, %q; want %d and no word", args, code, &said, want)
		}
	}
}

func TestExportIntoWhatIsNoFile(t *testing.T) {
	t.Parallel()
	path, folder := newPath(t), t.TempDir()
	runs(t, command(path, "import", write(t, line(1)))).is(t, 0, "", "")
	fifo := filepath.Join(folder, "fifo")
	harness.Must(t, syscall.Mkfifo(fifo, 0o600))
	for _, name := range []string{"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"} {
		cmd := command(path, "export", "--output", name)
		cmd.Dir = folder
		runs(t, cmd).is(t, 0, line(1), "exported 1 accounts")
		// a file that standard output is appended to keeps what it has
		out := write(t, "before\n")
		appended, err := os.OpenFile(out, os.O_WRONLY|os.O_APPEND, 0)
		harness.Must(t, err)
		cmd = command(path, "export", "--output", name)
		cmd.Dir, cmd.Stdout = folder, appended
		harness.Must(t, cmd.Run())
		appended.Close()
		holds(t, out, "before\n"+line(1))
	}
	cmd := command(path, "export", "--output", fifo)
	harness.Must(t, cmd.Start()) // waits for a reader
	reader, err := os.Open(fifo)
	harness.Must(t, err)
	defer reader.Close()
	got, err := io.ReadAll(reader)
	if waited := cmd.Wait(); string(got) != line(1) || err != nil || waited != nil {
		t.Errorf("from the FIFO %q, %v, %v", got, err, waited)
	}
	cmd = command(path, "export", "--output", "/dev/fd/3")
	in, out, err := os.Pipe()
	harness.Must(t, err)
	cmd.ExtraFiles = []*os.File{out}
	runs(t, cmd).is(t, 0, "", "exported 1 accounts")
	out.Close()
	if got, err = io.ReadAll(in); string(got) != line(1) || err != nil {
		t.Errorf("from a pipe %q, %v", got, err)
	}
	runs(t, command(path, "export", "--output", "/dev/null")).is(t, 0, "", "exported 1 accounts")
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("files were made: %v, %v", entries, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	environ := []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + path}
	if code := run(ctx, []string{"export", "--output", fifo}, environ, &stdout, &stderr); code != exitCutShort {
		t.Errorf("told to stop while nothing reads: exit %d, %q", code, &stderr)
	}
}
