package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// mark is the line above a block of commands that a test runs; a rendered page does not show it.
const mark = "<!-- run -->\n```\n"

// shown is a command of a document and the output that is shown below it.
type shown struct{ command, output string }

// blocks returns the marked blocks of a document. A command begins with $, and goes on in lines that follow a backslash.
func blocks(text string) (all [][]shown) {
	for _, rest := range strings.Split(text, mark)[1:] {
		block, _, _ := strings.Cut(rest, "```\n")
		var commands []shown
		continued := false
		for line := range strings.Lines(block) {
			command, begins := strings.CutPrefix(line, "$ ")
			switch last := len(commands) - 1; {
			case begins:
				commands = append(commands, shown{command: command})
			case continued:
				commands[last].command += line
			case last >= 0:
				commands[last].output += line
			}
			continued = strings.HasSuffix(line, "\\\n")
		}
		all = append(all, commands)
	}
	return all
}

// volatile are what differs from run to run, and how each looks: times, UUIDs, ETags, cursors, tokens, fractions.
var volatile = []*regexp.Regexp{
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`),
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`"[0-9]+-[A-Za-z0-9_-]{16}"`),
	regexp.MustCompile(`acct_[A-Za-z0-9_-]{43}`),
	regexp.MustCompile(`(cursor=|"next_cursor":")[A-Za-z0-9_-]{18,}`),
	regexp.MustCompile(`\d+\.\d+`),
	regexp.MustCompile(`\.\.\.|…`),
}

// shape returns what matches a line that looks like this one: the same but for what is volatile.
func shape(line string) *regexp.Regexp {
	pattern := ""
	for line != "" {
		first, found := len(line), -1
		for i, v := range volatile {
			if at := v.FindStringIndex(line); at != nil && at[0] < first {
				first, found = at[0], i
			}
		}
		pattern += regexp.QuoteMeta(line[:first])
		if found < 0 {
			break
		}
		if volatile[found].MatchString("...") {
			pattern += ".*?"
		} else {
			pattern += volatile[found].String()
		}
		line = line[first+len(volatile[found].FindString(line[first:])):]
	}
	return regexp.MustCompile("(?s)" + pattern)
}

// compare returns the line of want that is not in got, each in its order, or "". Other lines may stand between.
func compare(got, want string) (missing string) {
	got = strings.Join(strings.Fields(got), "")
	for line := range strings.Lines(want) {
		at := shape(strings.Join(strings.Fields(line), "")).FindStringIndex(got)
		if at == nil {
			return line
		}
		got = got[at[1]:]
	}
	return ""
}

func TestOutputOfAnotherShapeIsSeen(t *testing.T) {
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{`{"id":"1","at":"2026-11-22T17:50:09.433624Z"}`, `{"id":"1","at":"2025-01-01T00:00:00Z"}`, true},
		{`{"id":"2","at":"2026-11-22T17:50:09.433624Z"}`, `{"id":"1","at":"2025-01-01T00:00:00Z"}`, false},
		{`{"id":"1","at":"never"}`, `{"id":"1","at":"2025-01-01T00:00:00Z"}`, false},
		{"HTTP/1.1 201 Created\r\nA: b\r\nEtag: \"1-D22bDA-aBN6C7vp7\"\r\n", "HTTP/1.1 201 Created\nEtag: \"7-aaaaaaaaaaaaaaaa\"\n", true},
		{"HTTP/1.1 200 OK\n", "HTTP/1.1 201 Created\n", false},
		{`{"a":1,"b":2,"c":3}`, "{\"a\":1,...,\n \"c\":3}", true},
		{`{"c":3,"a":1}`, "{\"a\":1\n\"c\":3}", false},
	} {
		if missing := compare(c.got, c.want); (missing == "") != c.same {
			t.Errorf("compare(%s, %s) = %q", c.got, c.want, missing)
		}
	}
}

// What the documents say to type is typed, in their order, at one service each, and gives what they show.
func TestCommandsOfTheDocumentsGiveWhatTheyShow(t *testing.T) {
	for _, needed := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("needs %s", needed)
		}
	}
	bin := t.TempDir()
	harness.Must(t, harness.Build(bin))
	documents, err := filepath.Glob("../../docs/*.md")
	harness.Must(t, err)
	run := 0
	for _, document := range append(documents, "../../README.md") {
		text := harness.Read(t, document)
		marked := blocks(text)
		if len(marked) == 0 {
			continue
		}
		t.Run(filepath.Base(document), func(t *testing.T) {
			folder := t.TempDir()
			p := harness.Start(t, exec.Command(filepath.Join(bin, "accountservice")), filepath.Join(folder, "accounts.db"),
				"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0")
			p.Await(t, "/ready", 200)
			ports := strings.NewReplacer("localhost:6767", fmt.Sprint("localhost:", p.Port), "localhost:6768",
				strings.TrimPrefix(p.Admin(t), "http://"), "-port=6767", fmt.Sprint("-port=", p.Port))
			for _, commands := range marked {
				run += len(commands)
				try(t, folder, bin, ports, commands)
			}
		})
	}
	if run < 10 {
		t.Errorf("only %d commands are marked", run)
	}
}

// try runs the commands of a block in one shell, and compares what each prints.
func try(t *testing.T, folder, bin string, ports *strings.Replacer, commands []shown) {
	t.Helper()
	const end = "--- end of a command ---\n"
	script := ""
	for _, c := range commands {
		script += ports.Replace(c.command) + "\nprintf '\\n" + strings.ReplaceAll(end, "\n", "\\n") + "'\n"
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", script)
	shell.Dir = folder
	shell.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + folder}
	out, err := shell.CombinedOutput()
	outputs := strings.Split(string(out), end)
	if err != nil || len(outputs) != len(commands)+1 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, c := range commands {
		if missing := compare(outputs[i], c.output); missing != "" {
			t.Errorf("$ %sgives\n%s\nand not\n%s", c.command, outputs[i], missing)
		}
	}
}
