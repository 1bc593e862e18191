package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// verifyPatience is how long VerifyWorker waits for a process that holds the
// file: one that is about to end may.
const verifyPatience = time.Second

// VerifyWorker does the work of Verify, in a process of its own: it reads the
// database at path and says to out what it finds. It ends the process when
// parent, its standard input, ends.
func VerifyWorker(path string, parent io.Reader, out io.Writer) {
	go func() {
		io.Copy(io.Discard, parent)
		os.Exit(1)
	}()
	encoder := json.NewEncoder(out)
	examine(path, func(m message) { encoder.Encode(m) })
}

// examine reads the database at path and says what it finds.
func examine(path string, say func(message)) {
	v := verifier{say: say}
	say(message{Stage: "opening it"})
	if err := v.open(path); err != nil {
		say(message{Error: err.Error()})
		return
	}
	defer v.file.Close()
	v.verify()
	say(message{Done: &v.report})
}

// verifier goes over a file in stages, each of which makes the next one safe.
type verifier struct {
	say    func(message)
	file   *os.File
	report Report
	found  bool
}

func (v *verifier) find(where, format string, args ...any) {
	v.found = true
	v.say(message{Finding: &Finding{where, fmt.Sprintf(format, args...)}})
}

// open opens the file for reading alone and locks it as bbolt's readers do.
func (v *verifier) open(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // to open a FIFO would wait for its writer
		return fmt.Errorf("is not a regular file but %s", info.Mode().Type())
	}
	if v.file, err = os.Open(path); err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(v.file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("cannot lock it: %w", err)
		case time.Since(begun) >= verifyPatience:
			return errors.New("a running service holds it; verify a copy. Take it while the service is stopped, or from " +
				"a snapshot of the volume: what cp makes of a file in use is damaged more often than not")
		}
	}
}

func (v *verifier) verify() {
	v.read()
	if !v.found { // on a damaged file it may never end, and would only repeat
		v.say(message{Stage: "bbolt's own check"})
		v.askBolt()
	}
}

// read is all of it that needs no map, and so can't end the process.
func (v *verifier) read() {
	v.say(message{Stage: "its meta pages"})
	info, err := v.file.Stat()
	if err != nil {
		v.find("file", "%v", err)
		return
	}
	v.report.Size = info.Size()
	newest, ok := v.metas()
	if !ok {
		return
	}
	if size := newest.pageSize; size < 1<<10 || size > 1<<24 || size&(size-1) != 0 {
		v.find("meta pages", "say that a page has %d bytes", size)
		return
	}
	v.report.PageSize, v.report.Pages, v.report.Transaction = newest.pageSize, newest.highWater, newest.txid
	if newest.highWater < 4 || newest.highWater > v.report.Size/newest.pageSize {
		v.find("file", "is cut short: it has %d bytes, and %d pages of %d bytes are in use", v.report.Size, newest.highWater, newest.pageSize)
		return
	}
	v.say(message{Stage: "its pages and records"})
	w := walker{file: v.file, pageSize: newest.pageSize, uses: make([]byte, newest.highWater), find: v.find}
	w.walk(newest.root, newest.freelist)
	v.report.Accounts, v.report.Unchecked, v.report.FreePages = w.accounts, w.legacy, w.free
}

// metas checks both meta pages and returns the newest valid one.
func (v *verifier) metas() (newest meta, ok bool) {
	if v.report.Size == 0 {
		v.find("file", "is empty (0 bytes)")
		return meta{}, false
	}
	first, err := readMeta(v.file, 0)
	second, secondErr := meta{}, error(errBadMeta)
	for at := int64(1 << 10); at <= 1<<24 && secondErr != nil; at <<= 1 { // it is one page on, and only the first tells how long a page is
		if err != nil || at == first.pageSize {
			second, secondErr = readMeta(v.file, at)
		}
	}
	switch {
	case err != nil && secondErr != nil:
		v.find("meta pages", "the file is not a database, or both are damaged")
		return meta{}, false
	case err != nil:
		v.find("meta page 0", "%v", meaning(err, second, first))
		return second, true
	case secondErr != nil:
		v.find("meta page 1", "%v", meaning(secondErr, first, second))
		return first, true
	}
	for i, page := range []int64{0, first.pageSize} {
		b := make([]byte, pageHeader)
		if _, err := v.file.ReadAt(b, page); err != nil || binary.NativeEndian.Uint64(b) != uint64(i) || binary.NativeEndian.Uint16(b[8:]) != metaPage {
			v.find(fmt.Sprint("meta page ", i), "its header is damaged")
		}
	}
	if second.txid > first.txid {
		return second, true
	}
	return first, true
}

// meaning says what is lost with a meta page that could not be read, or is
// damaged, beside a good one.
func meaning(err error, good, damaged meta) error {
	if errors.Is(err, errBadMeta) {
		return doubt(good, damaged)
	}
	return err
}

// askBolt lets bbolt check the file as it understands it. It maps the file:
// one that is cut meanwhile ends the process.
func (v *verifier) askBolt() {
	const where = "bbolt's own check"
	open := func(string, int, os.FileMode) (*os.File, error) { return v.file, nil }
	err := guard(func() error {
		db, err := bbolt.Open(v.file.Name(), 0, &bbolt.Options{ReadOnly: true, OpenFile: open, Timeout: verifyPatience})
		if err != nil {
			return err
		}
		return errors.Join(db.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() { // to its end, or it waits for ever to be heard
				v.find(where, "%v", err)
			}
			return nil
		}), db.Close())
	})
	if err != nil {
		v.find(where, "%v", err)
	}
}
