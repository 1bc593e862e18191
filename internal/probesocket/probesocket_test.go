package probesocket_test

import (
	"strings"
	"testing"

	"accountservice/internal/probesocket"
)

func name(t *testing.T, environ ...string) string {
	t.Helper()
	name, err := probesocket.Name(environ)
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	if !strings.HasPrefix(name, "@") || len(name) > 100 { // an address holds 107 bytes
		t.Errorf("%q can't be the address of an abstract socket", name)
	}
	return name
}

func TestServicesWithOtherAddressesHaveOtherNames(t *testing.T) {
	seen := map[string][]string{}
	for _, environ := range [][]string{
		nil,
		{"ACCOUNTSERVICE_HTTP_PORT=1"},
		{"ACCOUNTSERVICE_HTTP_PORT=2"},
		{"ACCOUNTSERVICE_HTTP_HOST=1"},
		{"ACCOUNTSERVICE_HTTP_HOST=1", "ACCOUNTSERVICE_HTTP_PORT=1"},
		{"ACCOUNTSERVICE_CONFIG=" + strings.Repeat("long/", 1000)},
	} {
		n := name(t, environ...)
		if other, taken := seen[n]; taken {
			t.Errorf("%q and %q have the same name", environ, other)
		}
		seen[n] = environ
	}
}

func TestOrderAndOtherVariablesDoNotMatter(t *testing.T) {
	a := name(t, "ACCOUNTSERVICE_HTTP_PORT=1", "ACCOUNTSERVICE_HTTP_HOST=a")
	b := name(t, "HOME=/", "ACCOUNTSERVICE_HTTP_HOST=a", "ACCOUNTSERVICE_LOG_LEVEL=warn", "ACCOUNTSERVICE_HTTP_PORT=1",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=http://u:hunter2@users/")
	if a != b {
		t.Errorf("got %q and %q", a, b)
	}
}
