package swarm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"accountservice/internal/auth"
	"accountservice/tests/harness"
)

// token is the one that configs/stack.yml is deployed with, and its line; services that need none ignore it.
var token, tokenLine, _ = auth.Create("tests", "read,write,health", "")

// bearer is the Authorization of the tests' requests.
var bearer = "Bearer " + token

// ask returns status and body, decoded into answer if that is not nil. The
// status is 0 if there was no such answer; the body then says why.
func (d docker) ask(method, url, body string, answer any) (status int, text string) {
	status, text = harness.Ask(method, url, body, "Authorization", bearer)
	if status == 0 || answer == nil {
		return status, text
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return 0, fmt.Sprint(status, " ", text, ": ", err)
	}
	return status, text
}

// answers says whether url answers 200.
func (d docker) answers(url string) (bool, string) {
	status, body := d.ask(http.MethodGet, url, "", nil)
	return status == http.StatusOK, fmt.Sprint(status, body)
}

func (d docker) wantAccount(url, id, name string) {
	d.t.Helper()
	var got struct{ ID, Name string }
	status, body := d.ask(http.MethodGet, url+"/accounts/"+id, "", &got)
	if status != http.StatusOK || got.ID != id || got.Name != name {
		d.t.Errorf("account %s: status %d, %s, want the name %s", id, status, body, name)
	}
}

// wantHosts wants that the service may be asked for by these names, and by no other.
func (d docker) wantHosts(url string, names ...string) {
	d.t.Helper()
	for _, name := range append(names, "evil.example") {
		r, err := http.NewRequest(http.MethodGet, url+"/accounts/10000", nil)
		harness.Must(d.t, err)
		r.Host = name
		r.Header.Set("Authorization", bearer)
		resp, err := http.DefaultClient.Do(r)
		harness.Must(d.t, err)
		resp.Body.Close()
		if served := resp.StatusCode == http.StatusOK; served == (name == "evil.example") || !served && resp.StatusCode != 421 {
			d.t.Errorf("asked for by the name %s: %s", name, resp.Status)
		}
	}
}

func (d docker) rename(url, id, name string) {
	d.t.Helper()
	if status, body := d.ask(http.MethodPut, url+"/accounts/"+id, fmt.Sprintf(`{"name":%q}`, name), nil); status/100 != 2 {
		d.t.Fatalf("PUT account %s: status %d, %s", id, status, body)
	}
	d.wantAccount(url, id, name)
}

func (d docker) wantDetailedHealth(url, version string) {
	d.t.Helper()
	var got harness.Health
	status, body := d.ask(http.MethodGet, url+"/health", "", &got)
	if status != http.StatusOK || got.Status != "OK" || !got.Ready || len(got.Failures) != 0 {
		d.t.Errorf("/health: status %d, %s, want 200, OK and ready", status, body)
	}
	if got.Component.Name != "accountservice" || got.Component.Version != version {
		d.t.Errorf("/health: component %+v, want accountservice %s", got.Component, version)
	}
	for name, consequence := range map[string]string{"bolt": "restart", "disk": "degrade"} {
		c, ok := got.Checks[name]
		if !ok || c.OnFailure != consequence {
			d.t.Errorf("/health: check %s is %+v, want on_failure %s\n%s", name, c, consequence, body)
		}
		if age := time.Since(c.LastSuccess); age > 10*time.Second || age < -time.Second || c.ConsecutiveFailures != 0 {
			d.t.Errorf("/health: check %s passed %s ago and failed %d times since, want a pass within 10s", name, age, c.ConsecutiveFailures)
		}
	}
}
