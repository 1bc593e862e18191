//go:build linux

package faults

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// nameFaults take the file away from its path.
var nameFaults = []fault{
	{name: "file deleted", do: (*scene).remove, want: want{restart: serves}},
	{
		name: "file renamed away",
		do:   func(s *scene) { s.must(os.Rename(s.path, s.path+".old")) },
		want: want{restart: serves},
	}, {
		name: "file deleted three times in a row",
		do: func(s *scene) {
			for range 3 {
				s.must(harness.Eventually(10*time.Second, func() error { return os.Remove(s.path) }))
			}
		},
		want: want{restart: serves},
	}, {
		name:  "file deleted, store.bolt.rescue_dir is set",
		setUp: (*scene).rescueDir,
		do:    (*scene).remove,
		want:  want{restart: serves},
	}, {
		name:  "file deleted, store.bolt.rescue_dir is on another file system",
		place: disk,
		setUp: (*scene).rescueDir,
		do:    (*scene).remove,
		want:  want{restart: refuses},
		repair: func(s *scene) {
			copies, err := filepath.Glob(filepath.Join(filepath.Dir(s.place.dir), "rescue", "*"))
			s.must(err)
			if len(copies) != 1 {
				s.Fatalf("in the rescue folder: %q, want one copy", copies)
			}
			copied, err := os.ReadFile(copies[0])
			s.must(err)
			s.must(os.WriteFile(s.path, copied, 0o600))
		},
		mended: "the copy put at the path",
	}, {
		name:  "file deleted on a full disk",
		place: ram,
		do:    func(s *scene) { s.fillPlace(); s.remove() },
		after: func(s *scene) {
			if code := s.load.put("refused", "refused"); code != 507 {
				s.bad("a write gets %d, want 507", code)
			}
			s.must(os.Remove(s.filler()))
			if !harness.Until(10*time.Second, func() bool {
				a := s.svc.ask("/health")
				return a.code == 503 && strings.Contains(a.words("bolt"), "were put back")
			}) {
				s.bad("not put back when there was room")
			}
			s.row.words += "; with room again, 503: all accounts were put back at the path"
		},
		want: want{health: 200, check: "records", codes: "507", restart: serves},
	}, {
		name:  "file deleted on a file system that makes up inodes from names, as mergerfs does",
		place: named,
		do:    (*scene).remove,
		after: (*scene).oneCopy,
		want:  want{restart: serves},
	}, {
		name:   "file deleted, and a sector under a leaf of the accounts can't be read",
		place:  sick,
		device: unreadable(`Person_1500"`),
		do:     func(s *scene) { s.pageOut(); s.remove() },
		want:   want{check: "records", within: 50 * time.Second, restart: damaged}, // it is tried for 30 s to read it
	}, {
		name: "the execute bit of its folder taken away",
		setUp: func(s *scene) {
			s.as = &syscall.Credential{Uid: 65532, Gid: 65532}
			s.must(os.Chown(s.place.dir, 65532, 65532))
		},
		do: func(s *scene) { s.must(os.Chmod(s.place.dir, 0o600)) },
		after: func(s *scene) {
			if codes, _ := s.load.seen(); slices.Contains(codes, "PUT 503") || slices.Contains(codes, "GET 503") {
				s.bad("requests are refused: %s", codes)
			}
		},
		repair: func(s *scene) { s.must(os.Chmod(s.place.dir, 0o755)) },
		mended: "given back",
		want:   want{health: 200, check: "disk", restart: refuses},
	}, {
		name:    "another database renamed over it",
		prepare: func(s *scene) { anotherDatabase(s.T, s.place.dir) },
		do:      (*scene).renameOther,
		want:    want{restart: restored},
	}, {
		name:    "another database copied over it in place",
		paused:  true, // a commit under way would go on in the other file
		prepare: func(s *scene) { anotherDatabase(s.T, s.place.dir) },
		do: func(s *scene) {
			other, err := os.ReadFile(s.path + ".other")
			s.must(err)
			d := openFile(s.T, s.path)
			d.write(0, other)
			d.cut(int64(len(other)))
		},
		want: want{restart: restored},
	}, {
		name: "another file of the same size renamed over it",
		prepare: func(s *scene) {
			info, err := os.Stat(s.path)
			s.must(err)
			s.must(os.WriteFile(s.path+".other", make([]byte, info.Size()), 0o600))
		},
		do:   (*scene).renameOther,
		want: want{restart: refuses},
	}, {
		name: "its folder removed with all in it",
		do: func(s *scene) {
			s.must(harness.Eventually(10*time.Second, func() error { return os.RemoveAll(s.place.dir) }))
		},
		want: want{health: 200, check: "records", exit: 3, restart: refuses},
	}, {
		name:   "its file system unmounted lazily (restart with store.bolt.create=never)",
		place:  disk,
		later:  neverCreate, // else a forgotten volume is a first start
		do:     func(s *scene) { detach(s.place.dir) },
		want:   want{health: 200, check: "records", exit: 3, restart: refuses},
		repair: func(s *scene) { s.place.mount(s.T) },
		mended: "mounted again",
	},
}

// contentFaults change what is in the file, by another file descriptor.
var contentFaults = []fault{
	{name: "cut to 0 bytes", harm: (*dbFile).empty, want: want{restart: refuses}},
	{name: "cut to 8192 bytes", harm: func(d *dbFile) { d.cut(8192) }, want: want{restart: refuses}},
	{name: "cut to half", harm: (*dbFile).cutInHalf, want: want{restart: refuses}},
	{
		name: "cut to 0 and grown again with zeros",
		harm: func(d *dbFile) { length := d.length(); d.empty(); d.cut(length) },
		want: want{restart: refuses},
	},
	{name: "both meta pages damaged", harm: (*dbFile).garbleMetas, want: want{restart: refuses}},
	{name: "newest meta page damaged, no writes", still: true, harm: (*dbFile).garbleNewest, want: want{restart: refuses}},
	{name: "newest meta page damaged between two writes", paused: true, harm: (*dbFile).garbleNewest},
	onOlderMeta("older meta page damaged, no writes", (*dbFile).garbleOlder),
	onOlderMeta("one bit flipped in the older meta page, no writes", (*dbFile).flipOlder),
	{
		name:   "older meta page damaged between two writes",
		paused: true,
		harm:   (*dbFile).garbleOlder,
		want: want{
			unseen:  "the next write, 20 ms later, writes this page anew, and with that it is whole; nothing is lost",
			restart: serves,
		},
	},
	onRecords("leaf page of the accounts damaged", 500, (*dbFile).garbleLeaf),
	onRecords("branch page of the accounts damaged", 12000, (*dbFile).garbleBranch),
	{name: "root page of the accounts damaged", seeds: 500, paused: true, harm: (*dbFile).garbleAccounts},
	{name: "root page of the file damaged", paused: true, harm: (*dbFile).garbleRoot, want: want{restart: refuses}},
	{name: "bucket of the accounts missing", paused: true, harm: (*dbFile).renameBucket, want: want{restart: refuses}},
	{name: "freelist page damaged", paused: true, harm: (*dbFile).garbleFreelist, want: want{restart: serves}},
	onRecords("one bit flipped in a branch page, so that it leads to another page", 12000, (*dbFile).flipChild),
	onRecords("one bit flipped in a value", 500, (*dbFile).flipValue),
	onRecords("one bit flipped in a key", 500, (*dbFile).flipKey),
	onRecords("one bit flipped in a page's type", 500, (*dbFile).flipType),
	onRecords("one bit flipped in a page's number of records", 500, (*dbFile).flipCount),
}

// onOlderMeta damages the older meta page. Nothing is lost by it: the check
// records warns until the next write, or a stop, writes this page anew.
func onOlderMeta(name string, harm func(*dbFile)) fault {
	return fault{
		name:  name,
		still: true,
		harm:  harm,
		after: func(s *scene) {
			if s.svc.ask("/health").Checks["records"].Warning == "" {
				s.bad("the check records does not warn of it")
			}
		},
		want: want{
			unseen:  "a warning of records, for nothing is lost; the next write, or a stop, writes this page anew",
			restart: serves,
		},
	}
}

// onRecords damages what leads to a seeded account that no client asks for. The
// check records finds that when it comes there.
func onRecords(name string, seeds int, harm func(*dbFile)) fault {
	found := want{health: 200, check: "records", within: walkBound(seeds + 100), restart: damaged}
	return fault{name: name, seeds: seeds, paused: true, harm: harm, want: found}
}

func (s *scene) remove() { s.must(os.Remove(s.path)) }

// renameOther puts what was made beside the database in its place.
func (s *scene) renameOther() { s.must(os.Rename(s.path+".other", s.path)) }

// rescueDir makes a folder beside the place, for copies of a lost database.
func (s *scene) rescueDir() {
	dir := filepath.Join(filepath.Dir(s.place.dir), "rescue")
	s.must(os.Mkdir(dir, 0o755))
	s.env = append(s.env, "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+dir)
}

// anotherDatabase makes a good database with other accounts in this folder.
func anotherDatabase(t *testing.T, dir string) (path string) {
	t.Helper()
	own := filepath.Join(dir, "other")
	harness.Must(t, os.Mkdir(own, 0o755))
	made := filepath.Join(own, "accounts.db")
	svc := startService(t, made, nil, "ACCOUNTSERVICE_STORE_SEED=7")
	harness.Must(t, svc.healthy(20*time.Second))
	svc.Stop(t, 0)
	path = filepath.Join(dir, "accounts.db.other")
	harness.Must(t, os.Rename(made, path))
	harness.Must(t, os.RemoveAll(own))
	return path
}
