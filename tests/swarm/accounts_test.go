package swarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"accountservice/tests/harness"
)

// ask returns status and body, decoded into answer if that is not nil.
func (d docker) ask(method, url, body string, answer any) (status int, text string, err error) {
	if status, text = harness.Ask(method, url, body); status == 0 {
		return 0, "", errors.New(text)
	}
	if answer != nil {
		err = json.Unmarshal([]byte(text), answer)
	}
	return status, text, err
}

// answers says whether url answers 200.
func (d docker) answers(url string) (bool, string) {
	status, body, err := d.ask(http.MethodGet, url, "", nil)
	return err == nil && status == http.StatusOK, fmt.Sprint(status, body, err)
}

func (d docker) wantAccount(url, id, name string) {
	d.t.Helper()
	var got struct{ ID, Name string }
	status, body, err := d.ask(http.MethodGet, url+"/accounts/"+id, "", &got)
	if err != nil || status != http.StatusOK || got.ID != id || got.Name != name {
		d.t.Errorf("account %s: status %d, %s (%v), want the name %s", id, status, body, err, name)
	}
}

func (d docker) rename(url, id, name string) {
	d.t.Helper()
	status, body, err := d.ask(http.MethodPut, url+"/accounts/"+id, fmt.Sprintf(`{"name":%q}`, name), nil)
	if err != nil || status/100 != 2 {
		d.t.Fatalf("PUT account %s: status %d, %s (%v)", id, status, body, err)
	}
	d.wantAccount(url, id, name)
}

func (d docker) wantDetailedHealth(url, version string) {
	d.t.Helper()
	type check struct {
		OnFailure           string    `json:"on_failure"`
		LastSuccess         time.Time `json:"last_success"`
		ConsecutiveFailures int       `json:"consecutive_failures"`
	}
	var got struct {
		Status    string
		Ready     bool
		Timestamp time.Time
		Failures  map[string]string
		Component struct{ Name, Version string }
		Checks    map[string]check
	}
	status, body, err := d.ask(http.MethodGet, url+"/health", "", &got)
	if err != nil || status != http.StatusOK || got.Status != "OK" || !got.Ready || len(got.Failures) != 0 {
		d.t.Errorf("/health: status %d, %s (%v), want 200, OK and ready", status, body, err)
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

// restore renames the database of one volume over that of another, as an
// operator does it with a helper container: the image has no shell. The copy
// goes beside the file first, for only within one file system a move is a rename.
func (d docker) restore(shell, from, to string) {
	d.t.Helper()
	d.shell(shell, to, "cp -p /from/accounts.db /to/.restored && chown 65532:65532 /to/.restored && sync && "+
		"mv -f /to/.restored /to/accounts.db", "--volume", from+":/from:ro")
}
