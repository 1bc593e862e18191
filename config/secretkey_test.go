package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretKeyIsShownNowhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("hunter2/hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := load(t, "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY_FILE="+path, "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=hunter2")
	s3 := loaded.Backup.S3
	if s3.SecretKey.Reveal() != "hunter2/hunter2" || s3.AccessKey.Reveal() != "hunter2" {
		t.Fatalf("got %q and %q", s3.AccessKey.Reveal(), s3.SecretKey.Reveal())
	}
	var shown bytes.Buffer
	for _, format := range []string{"yaml", "json", "env"} {
		if err := loaded.Print(&shown, format); err != nil {
			t.Fatal(err)
		}
	}
	json.NewEncoder(&shown).Encode(loaded.Config)
	fmt.Fprintf(&shown, "%v %+v %#v %q", s3, s3, s3, s3.SecretKey)
	if strings.Contains(shown.String(), "hunter2") || !strings.Contains(shown.String(), masked) {
		t.Errorf("the secret is in, or no mask: %s", &shown)
	}
}
