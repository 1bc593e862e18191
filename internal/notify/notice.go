package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"accountservice/internal/checks"
)

// starting is the status until the checks are decided. No notice tells it.
const starting = "starting"

// verdict is what a notice is sent about. While nothing is known of the checks, its status is why: stale or starting.
type verdict struct {
	status string
	ready  bool
}

func verdictOf(s *checks.Snapshot) verdict {
	has := func(status checks.Status, among ...checks.Consequence) bool {
		return slices.ContainsFunc(s.Checks, func(c checks.CheckHistory) bool {
			return c.Status == status && (among == nil || slices.Contains(among, c.OnFailure))
		})
	}
	switch {
	case !s.Healthy && len(s.Checks) == 0 && len(s.Reasons) > 0:
		return verdict{s.Reasons[0].Name, false}
	case !s.Healthy && !has(checks.Failing, checks.Restart), // it waits for a check
		len(s.Reasons) == 0 && has(checks.Starting) && !has(checks.Failing):
		return verdict{starting, false}
	}
	return verdict{s.Status, s.Ready}
}

func (v verdict) String() string {
	if v.ready {
		return v.status + ", ready"
	}
	return v.status + ", not ready"
}

// notice is the body of a POST.
type notice struct {
	Text     string    `json:"text"` // what chats show
	Status   string    `json:"status"`
	From     string    `json:"from"` // the status before
	Ready    bool      `json:"ready"`
	Failing  []failing `json:"failing"`
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	Time     time.Time `json:"time"`
}

// failing is a check that fails, or another reason not to be ready.
type failing struct {
	Check     string `json:"check"`
	OnFailure string `json:"on_failure,omitempty"`
	Error     string `json:"error"`
}

// newNotice tells of the change between two verdicts. The text has names alone: an error can repeat what others sent,
// and chats obey some of that.
func newNotice(s *checks.Snapshot, from, to verdict, instance string) notice {
	n := notice{Status: to.status, From: from.status, Ready: to.ready, Failing: []failing{}, Instance: instance,
		Version: s.Component.Version, Time: s.At.UTC()}
	for _, c := range s.Checks {
		if c.Status != checks.OK {
			n.Failing = append(n.Failing, failing{c.Name, string(c.OnFailure), c.Error})
		}
	}
	for _, r := range s.Reasons {
		n.Failing = append(n.Failing, failing{Check: r.Name, Error: r.Text})
	}
	n.Text = fmt.Sprintf("%s %s on %s: %s; before: %s", s.Component.Name, s.Component.Version, instance, to, from)
	if causes := s.Causes(); causes != nil {
		n.Text += ". Because of: " + strings.Join(causes, ", ")
	}
	return n
}

func (n notice) body() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // texts and a time always encode
	}
	return text
}
