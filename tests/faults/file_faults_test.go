//go:build linux

package faults

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func allFaults() []fault {
	var all []fault
	for _, some := range [][]fault{nameFaults, contentFaults, diskFaults, hangFaults, {slowDisk}, dependencyFaults, timeFaults} {
		all = append(all, some...)
	}
	return all
}

// nameFaults take the file away from its path.
var nameFaults = []fault{
	{
		name: "file deleted",
		do:   func(s *scene) { must(s.T, os.Remove(s.path)) },
		want: want{heals: true, restart: serves},
	}, {
		name: "file renamed away",
		do:   func(s *scene) { must(s.T, os.Rename(s.path, s.path+".old")) },
		want: want{heals: true, restart: serves},
	}, {
		name: "file deleted three times in a row",
		do: func(s *scene) {
			for range 3 {
				must(s.T, eventually(func() error { return os.Remove(s.path) }))
			}
		},
		want: want{heals: true, restart: serves},
	}, {
		name:  "file deleted, store.bolt.rescue_dir is set",
		setUp: func(s *scene) { s.rescueDir() },
		do:    func(s *scene) { must(s.T, os.Remove(s.path)) },
		want:  want{heals: true, restart: serves},
	}, {
		name:  "file deleted, store.bolt.rescue_dir is on another file system",
		place: disk,
		setUp: func(s *scene) { s.rescueDir() },
		do:    func(s *scene) { must(s.T, os.Remove(s.path)) },
		want:  want{restart: refuses},
		repair: func(s *scene) {
			copies, err := filepath.Glob(filepath.Join(filepath.Dir(s.place.dir), "rescue", "*"))
			must(s.T, err)
			if len(copies) != 1 {
				s.Fatalf("in the rescue folder: %q, want one copy", copies)
			}
			copied, err := os.ReadFile(copies[0])
			must(s.T, err)
			must(s.T, os.WriteFile(s.path, copied, 0o600))
		},
		mended: "the copy put at the path",
	}, {
		name:  "file deleted on a full disk",
		place: ram,
		do:    func(s *scene) { s.fillPlace(); must(s.T, os.Remove(s.path)) },
		after: func(s *scene) {
			if code := s.load.put("refused", "refused"); code != 507 {
				s.bad("a write gets %d, want 507", code)
			}
			must(s.T, os.Remove(s.filler()))
			if err := eventually(func() error {
				if !s.healed() {
					return errors.New("not yet")
				}
				return nil
			}); err != nil {
				s.bad("not put back when there was room")
			}
			s.row.words += "; put back when there is room"
		},
		want: want{health: 200, check: "records", codes: "507", restart: serves},
	}, {
		name:    "another database renamed over it",
		prepare: func(s *scene) { s.anotherDatabase() },
		do:      func(s *scene) { must(s.T, os.Rename(s.path+".other", s.path)) },
		want:    want{restart: restored},
	}, {
		name:    "another database copied over it in place",
		prepare: func(s *scene) { s.anotherDatabase() },
		do: func(s *scene) {
			other, err := os.ReadFile(s.path + ".other")
			must(s.T, err)
			f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
			must(s.T, err)
			defer f.Close()
			_, err = f.WriteAt(other, 0)
			must(s.T, err)
			must(s.T, f.Truncate(int64(len(other))))
		},
		want: want{restart: restored},
	}, {
		name: "another file of the same size renamed over it",
		prepare: func(s *scene) {
			info, err := os.Stat(s.path)
			must(s.T, err)
			must(s.T, os.WriteFile(s.path+".other", make([]byte, info.Size()), 0o600))
		},
		do:   func(s *scene) { must(s.T, os.Rename(s.path+".other", s.path)) },
		want: want{restart: refuses},
	}, {
		name: "its folder removed with all in it",
		do:   func(s *scene) { must(s.T, eventually(func() error { return os.RemoveAll(s.place.dir) })) },
		want: want{restart: refuses},
	}, {
		name:   "its file system unmounted lazily (restart with store.bolt.create=never)",
		place:  disk,
		later:  []string{"ACCOUNTSERVICE_STORE_BOLT_CREATE=never"}, // else a forgotten volume is a first start
		do:     func(s *scene) { must(s.T, unix.Unmount(s.place.dir, unix.MNT_DETACH)) },
		want:   want{restart: refuses},
		repair: func(s *scene) { s.place.mount(s.T) },
		mended: "mounted again",
	},
}

// contentFaults change what is in the file, by another file descriptor.
var contentFaults = []fault{
	{
		name: "cut to 0 bytes",
		do:   func(s *scene) { must(s.T, os.Truncate(s.path, 0)) },
		want: want{restart: refuses},
	}, {
		name: "cut to 8192 bytes",
		do:   func(s *scene) { must(s.T, os.Truncate(s.path, 8192)) },
		want: want{restart: refuses},
	}, {
		name: "cut to half",
		do: func(s *scene) {
			d := openFile(s.T, s.path)
			newest, _ := d.metas()
			must(s.T, os.Truncate(s.path, int64(newest.high)/2*d.size))
		},
		want: want{restart: refuses},
	}, {
		name: "cut to 0 and grown again with zeros",
		do: func(s *scene) {
			info, err := os.Stat(s.path)
			must(s.T, err)
			must(s.T, os.Truncate(s.path, 0))
			must(s.T, os.Truncate(s.path, info.Size()))
		},
		want: want{restart: refuses},
	}, {
		name: "both meta pages damaged",
		do: func(s *scene) {
			d := openFile(s.T, s.path)
			newest, oldest := d.metas()
			d.garbleMeta(newest)
			d.garbleMeta(oldest)
		},
		want: want{restart: refuses},
	}, {
		name:    "newest meta page damaged, no writes",
		prepare: func(s *scene) { s.load.still() },
		do:      damageMeta(true),
		want:    want{restart: refuses},
	}, {
		name:    "newest meta page damaged between two writes",
		prepare: func(s *scene) { s.load.still() },
		do: func(s *scene) {
			damageMeta(true)(s)
			s.load.quiet.Store(false)
		},
	}, {
		name:    "older meta page damaged, no writes",
		prepare: func(s *scene) { s.load.still() },
		do:      damageMeta(false),
		want:    want{heals: true, restart: serves},
	}, {
		name:    "one bit flipped in the older meta page, no writes",
		prepare: func(s *scene) { s.load.still() },
		do: func(s *scene) {
			d := openFile(s.T, s.path)
			_, older := d.metas()
			d.flip(older.page*d.size+headerSize+rootField, 0x01)
		},
		want: want{heals: true, restart: serves},
	}, {
		name:    "older meta page damaged between two writes",
		prepare: func(s *scene) { s.load.still() },
		do: func(s *scene) {
			damageMeta(false)(s)
			s.load.quiet.Store(false)
		},
		want: want{
			unseen:  "the next write, 20 ms later, writes this page anew, and with that it is whole; nothing is lost",
			restart: serves,
		},
	}, {
		name:  "leaf page of the accounts damaged",
		seeds: 500,
		do:    onTree(func(d *dbFile, path []page, _ element) { d.garblePage(path[len(path)-1].id) }),
		want:  want{health: 200, check: "records", within: walkBound(600), restart: damaged},
	}, {
		name:  "branch page of the accounts damaged",
		seeds: 12000,
		do: onTree(func(d *dbFile, path []page, _ element) {
			if len(path) < 3 {
				d.t.Fatalf("the tree has %d levels", len(path))
			}
			d.garblePage(path[1].id)
		}),
		want: want{health: 200, check: "records", within: walkBound(12000), restart: damaged},
	}, {
		name:  "root page of the accounts damaged",
		seeds: 500,
		do:    onTree(func(d *dbFile, path []page, _ element) { d.garblePage(path[0].id) }),
	}, {
		name: "root page of the file damaged",
		do: onTree(func(d *dbFile, _ []page, _ element) {
			newest, _ := d.metas()
			d.garblePage(newest.root)
		}),
		want: want{restart: refuses},
	}, {
		name: "bucket of the accounts missing",
		do: onTree(func(d *dbFile, _ []page, _ element) {
			newest, _ := d.metas()
			at := int64(newest.root) * d.size
			name := bytes.Index(d.read(at, int(d.size)), []byte(accountsKey))
			if name < 0 {
				d.t.Fatalf("page %d does not name the bucket %s", newest.root, accountsKey)
			}
			d.write(at+int64(name), []byte("B")) // in place of A: the page is whole, and the bucket another
		}),
		want: want{restart: refuses},
	}, {
		name: "freelist page damaged",
		do: onTree(func(d *dbFile, _ []page, _ element) {
			newest, _ := d.metas()
			d.garblePage(newest.freelist)
		}),
		want: want{restart: refuses},
	}, {
		name:  "one bit flipped in a value",
		seeds: 500,
		do:    onTree(func(d *dbFile, _ []page, e element) { d.flip(e.valueAt+int64(len(e.value))-8, 0x01) }),
		want:  want{health: 200, check: "records", within: walkBound(600), restart: damaged},
	}, {
		name:  "one bit flipped in a key",
		seeds: 500,
		do:    onTree(func(d *dbFile, _ []page, e element) { d.flip(e.keyAt+4, 0x01) }),
		want:  want{health: 200, check: "records", within: walkBound(600), restart: damaged},
	}, {
		name:  "one bit flipped in a page's type",
		seeds: 500,
		do:    onTree(func(d *dbFile, path []page, _ element) { d.flip(path[len(path)-1].at+8, 0x04) }),
		want:  want{health: 200, check: "records", within: walkBound(600), restart: damaged},
	}, {
		name:  "one bit flipped in a page's number of records",
		seeds: 500,
		do: onTree(func(d *dbFile, path []page, _ element) {
			leaf := path[len(path)-1]
			bit := byte(1)
			for leaf.count&int(bit) == 0 {
				bit <<= 1
			}
			d.flip(leaf.at+10, bit)
		}),
		want: want{health: 200, check: "records", within: walkBound(600), restart: damaged},
	},
}

// rescueDir makes a folder beside the place, for copies of a lost database.
func (s *scene) rescueDir() {
	dir := filepath.Join(filepath.Dir(s.place.dir), "rescue")
	must(s.T, os.Mkdir(dir, 0o755))
	s.env = append(s.env, "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+dir)
}

// damageMeta garbles one meta page.
func damageMeta(newest bool) func(*scene) {
	return func(s *scene) {
		d := openFile(s.T, s.path)
		m, older := d.metas()
		if !newest {
			m = older
		}
		d.garbleMeta(m)
	}
}

// onTree does something to the pages above a seeded account that no client
// asks for, while no write moves them; writes go on afterwards.
func onTree(f func(d *dbFile, path []page, e element)) func(*scene) {
	return func(s *scene) {
		s.load.still()
		d := openFile(s.T, s.path)
		path, e := d.find(far(s.seeds))
		f(d, path, e)
		s.load.quiet.Store(false)
	}
}

// anotherDatabase makes a good database with other accounts beside this one.
func (s *scene) anotherDatabase() {
	dir := filepath.Join(s.place.dir, "other")
	must(s.T, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "accounts.db")
	other := startService(s.T, path, nil, "ACCOUNTSERVICE_STORE_SEED=7")
	if !other.await(patience * 5) {
		s.Fatalf("the other service: %s", other.log)
	}
	must(s.T, other.cmd.Process.Signal(syscall.SIGTERM))
	other.ended(patience * 5)
	must(s.T, os.Rename(path, s.path+".other"))
	must(s.T, os.RemoveAll(dir))
}
