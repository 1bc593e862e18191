package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSecretURLShowsItsSchemeAlone(t *testing.T) {
	const text = "https://hooks.example.org/services/T0/hunter2"
	loaded := load(t, "ACCOUNTSERVICE_NOTIFY_URL="+text)
	u := loaded.Notify.URL
	if u.Reveal() != text || u.String() != "https://xxxxx" || (SecretURL{}).String() != "" || (SecretURL{}).Reveal() != "" {
		t.Errorf("%q is shown as %q", u.Reveal(), u)
	}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, u)
		fmt.Fprintf(&b, verb, loaded.Notify)
		fmt.Fprintf(&b, verb, &loaded.Notify)
		fmt.Fprintf(&b, verb, struct{ u SecretURL }{u})
	}
	for _, format := range []string{"yaml", "json", "env"} {
		if err := loaded.Print(&b, format); err != nil {
			t.Fatal(err)
		}
	}
	content, err := json.Marshal(loaded)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(content)
	for _, secret := range []string{"hunter2", "hooks.example.org", fmt.Sprintf("%x", "hunter2")} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is in %s", secret, &b)
		}
	}
}

func TestSecretURLMustBeHTTP(t *testing.T) {
	for _, text := range []string{"ftp://hunter2/", "hunter2", "https:///hunter2", "https://h/#hunter2", "https://h:hunter2/"} {
		_, err := Load("", []string{"ACCOUNTSERVICE_NOTIFY_HEARTBEAT_URL=" + text})
		if err == nil || !strings.HasPrefix(err.Error(), "notify.heartbeat_url: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want a fault that does not repeat it", text, err)
		}
	}
}
