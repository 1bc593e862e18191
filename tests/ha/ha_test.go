//go:build linux

package ha

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// TestNoAcknowledgedWriteIsLost lets the primary fail again and again under writers whose timeout is far below the time
// that a failover takes.
func TestNoAcknowledgedWriteIsLost(t *testing.T) {
	folder := needSandbox(t)
	c := newCluster(t, folder)
	s := newService(t, folder, c)
	naive, all, racers := newControl(t, c), newLedger(), newRacers(t, s.url)
	watched := s.watch(t)
	for i := range roundsWanted(t) {
		r := rounds[i%len(rounds)]
		good := t.Run(fmt.Sprint("round ", i+1, ": ", r.name), func(t *testing.T) {
			run := fmt.Sprint("round", i+1)
			all.newGap()
			naive.ledger.newGap()
			stops := []func(){write(t, s.url, all, run, clientTimeout), naive.write(t, run), racers.run(t, run)}
			all.awaitMore(t, 20)
			began := time.Now()
			r.play(t, c, naive.ledger)
			s.settle(t, all)
			for _, stop := range stops {
				stop()
			}
			t.Logf("longest gap of acknowledged writes %.1f s, of clients of the database itself %.1f s; the cluster was whole after %.0f s",
				all.newGap().Seconds(), naive.ledger.newGap().Seconds(), time.Since(began).Seconds())
			all.want(t, names(t, s.replicas[0]))
			racers.want(t)
		})
		if !good {
			t.FailNow() // the other rounds need a cluster that is whole
		}
	}
	t.Logf("%d acknowledged writes; answers to others: %v", all.count(acknowledged), all.failures)
	t.Logf("every /health was 200, the slowest after %s", watched().Round(time.Millisecond))
	if lost := naive.lost(t); lost == 0 {
		t.Error("a client that takes a repeated INSERT for durable lost nothing: these rounds prove nothing")
	} else {
		t.Logf("the control lost %d of its %d acknowledged writes", lost, naive.ledger.count(acknowledged))
	}
	t.Run("planned switchover", func(t *testing.T) { switchOver(t, c, s) })
	t.Run("without synchronous replication", func(t *testing.T) { loseOnPurpose(t, c, s) })
}

// switchOver moves the primary by Patroni's own command. No client sees more than a 503, which a repetition under the
// same key mends.
func switchOver(t *testing.T, c *cluster, s *service) {
	l := newLedger()
	stop := write(t, s.url, l, "switchover", 10*time.Second)
	l.awaitMore(t, 100)
	l.newGap()
	primary, _ := c.primary(t)
	harness.Must(t, rest(http.MethodPost, primary, "/switchover", fmt.Sprintf(`{"leader":%q}`, primary.name), nil))
	c.successor(t, primary)
	c.whole(t)
	s.settle(t, l)
	stop()
	gap := l.newGap()
	t.Logf("longest gap of acknowledged writes %.1f s; %d acknowledged, answers to others: %v", gap.Seconds(),
		l.count(acknowledged), l.failures)
	if gap > 5*time.Second {
		t.Errorf("no write was acknowledged for %.1f s, want at most 5 s", gap.Seconds())
	}
	for kind := range l.failures {
		if !strings.HasPrefix(kind, "503") {
			t.Errorf("a switchover answered %s, want no failure but 503", kind)
		}
	}
	if left := l.unanswered("keyed"); len(left) > 0 {
		t.Errorf("repetitions under the same key did not mend %q", left)
	}
	l.want(t, names(t, s.replicas[0]))
}

// loseOnPurpose shows that the rounds can fail: where no commit waits for a standby, acknowledged writes are lost. The
// service refuses such a server if store.postgres.require_sync is on.
func loseOnPurpose(t *testing.T, c *cluster, s *service) {
	primary, _ := c.primary(t)
	harness.Must(t, rest(http.MethodPatch, primary, "/config", `{"synchronous_mode":false,"synchronous_mode_strict":false}`, nil))
	c.whole(t)
	s.replicas[0].Says(t, "/health/checks/postgres", "require_sync")
	refusing := harness.Start(t, exec.Command(s.program), "", c.environment()...)
	refusing.Exits(t, 1)
	if log := refusing.Log.String(); !strings.Contains(log, "require_sync") {
		t.Errorf("the log of a start without a synchronous standby does not name require_sync:\n%s", log)
	}
	careless := harness.Start(t, exec.Command(s.program), "", append(c.environment(), "ACCOUNTSERVICE_STORE_POSTGRES_REQUIRE_SYNC=false")...)
	careless.Await(t, "/ready", http.StatusOK)
	l := newLedger()
	stop := write(t, careless.URL, l, "careless", clientTimeout)
	l.awaitMore(t, 20)
	killCut(t, c, l)
	stop()
	lost := len(l.judge(names(t, careless)).lost)
	t.Logf("%d of %d acknowledged writes are lost", lost, l.count(acknowledged))
	if lost == 0 {
		t.Error("nothing is lost without synchronous replication: the rounds are not able to fail")
	}
}

// roundsWanted is how many failures are played.
func roundsWanted(t *testing.T) int {
	t.Helper()
	text := os.Getenv("HA_ROUNDS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	harness.Must(t, err)
	return n
}
