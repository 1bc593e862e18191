package config

import (
	"slices"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestDriverNeedsItsSettingsAndNoOthers(t *testing.T) {
	const driver, url = "ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://u:secret@db/accounts"
	_, err := Load("", []string{driver})
	if err == nil || !strings.Contains(err.Error(), "store.driver: postgres (from ACCOUNTSERVICE_STORE_DRIVER) needs store.postgres.url") {
		t.Errorf("without a URL: %v", err)
	}
	image := []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=/data/accounts.db", "ACCOUNTSERVICE_STORE_BOLT_VOLUME=warn"}
	for name, c := range map[string]struct {
		environ []string
		want    []string // keys in the warnings
	}{
		"postgres in the image": {append(image, driver, url), nil},
		"bolt's settings": {[]string{driver, url, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never", "ACCOUNTSERVICE_CHECKS_RECORDS_INTERVAL=3s"},
			[]string{"checks.records.interval", "store.bolt.create"}},
		"defaults of bolt":    {[]string{driver, url, "ACCOUNTSERVICE_STORE_BOLT_CREATE=auto"}, nil},
		"postgres's settings": {[]string{url, "ACCOUNTSERVICE_STORE_POSTGRES_MAX_CONNS=7"}, []string{"store.postgres.max_conns", "store.postgres.url"}},
	} {
		loaded, err := Load("", c.environ)
		harness.Must(t, err)
		var keys []string
		for _, warning := range loaded.Warnings {
			key, _, _ := strings.Cut(warning, " ")
			keys = append(keys, key)
			if strings.Contains(warning, "secret") {
				t.Errorf("%s: %s", name, warning)
			}
		}
		if slices.Sort(keys); !slices.Equal(keys, c.want) {
			t.Errorf("%s: warnings %q, want of %q", name, loaded.Warnings, c.want)
		}
	}
}

func TestMisspelledDriverMakesNoSettingUseless(t *testing.T) {
	loaded, err := Load("", []string{"ACCOUNTSERVICE_STORE_DRIVER=postgress", "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://u@db/accounts"})
	if err == nil || len(loaded.Warnings) > 0 {
		t.Errorf("got %v and the warnings %q, want a fault and no warning", err, loaded.Warnings)
	}
}

func TestFullDiskOfPostgreSQLRestartsNoReplica(t *testing.T) {
	bolt := []string{"ACCOUNTSERVICE_CHECKS_DISK_ON_FAILURE=restart"}
	_, err := Load("", bolt)
	harness.Must(t, err)
	_, err = Load("", append(bolt, "ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://u@db/accounts"))
	if err == nil || !strings.Contains(err.Error(), "checks.disk.on_failure: restart (from ACCOUNTSERVICE_CHECKS_DISK_ON_FAILURE) is not for") {
		t.Errorf("got %v, want a fault of checks.disk.on_failure", err)
	}
}
