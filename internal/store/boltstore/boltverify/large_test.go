package boltverify

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

// A file longer than 2 GiB has offsets that do not fit into 32 bits: GOARCH=386 go test.
func TestSoundFileOf3GiBIsIntact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err == nil {
		err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(boltfile.AccountBucket)
			return errors.Join(err, b.Put([]byte("10000"), []byte(`{"id":"10000","name":"Person_0"}`)))
		}), db.Close())
	}
	f, openErr := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, errors.Join(err, openErr))
	defer f.Close()
	m, err := boltfile.InspectFile(f)
	harness.Must(t, err)
	// all pages that no tree uses are free, and the list of them is at the end of the file
	w := walker{ctx: t.Context(), file: f, meta: m, report: new(Report)}
	w.meta.HighWater = 3 << 30 / m.PageSize
	harness.Must(t, w.rewriteFreelist())
	report, err := VerifyFile(t.Context(), f)
	if err != nil || !report.Intact || report.Size <= 3<<30 || report.FreePages < 3<<30/m.PageSize-9 {
		t.Errorf("%+v, %v; want an intact file", report, err)
	}
	m, err = boltfile.InspectFile(f)
	harness.Must(t, err)
	if mended, err := CheckFreelist(t.Context(), f, m, false); mended != nil || err != nil {
		t.Errorf("CheckFreelist = %v, %v", mended, err)
	}
}
