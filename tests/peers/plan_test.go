package peers

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestSortedIDIsTheNthInOrderOfBytes(t *testing.T) {
	for _, accounts := range []int{1, 99, 90_001, 123_456} {
		ids := make([]string, accounts)
		for i := range ids {
			ids[i] = fmt.Sprint(firstID + i)
		}
		slices.Sort(ids)
		for n := 0; n < accounts; n += 1 + accounts/50 {
			if got := sortedID(accounts, n); got != ids[n] {
				t.Errorf("id %d of %d is %s, want %s", n, accounts, got, ids[n])
			}
		}
	}
}

func TestOnlyRatiosFarFromTheGoalFail(t *testing.T) {
	for ratio, fails := range map[float64]bool{1: false, 0.5: false, 0.4: true} {
		g := &group{title: "reads", rows: []*row{
			{peer: "bare", rounds: []result{{rate: 1000}, {rate: 2000}, {rate: 500}}},
			{peer: "ours", goal: 0.75, rounds: []result{{rate: 1000 * ratio}, {rate: 2000 * ratio}, {rate: 1}}},
		}}
		if err := judge([]*group{g}); (err != nil) != fails {
			t.Errorf("ratio %g: %v", ratio, err)
		}
		for i := range g.rows[0].rounds { // slow because the machine is busy
			g.rows[0].rounds[i].cpu, g.rows[1].rounds[i].cpu = 18*time.Microsecond, 24*time.Microsecond
		}
		if err := judge([]*group{g}); err != nil {
			t.Errorf("ratio %g, and by CPU 0.75: %v", ratio, err)
		}
	}
	times := func(ms time.Duration) []result { return []result{{latency: []time.Duration{ms * time.Millisecond}}} }
	for ms, fails := range map[time.Duration]bool{10: false, 30: false, 40: true} {
		g := &group{title: "probe", times: true, rows: []*row{{peer: "empty", rounds: times(10)}, {peer: "ours", goal: 2, rounds: times(ms)}}}
		if err := judge([]*group{g}); (err != nil) != fails {
			t.Errorf("%d ms in place of 10: %v", ms, err)
		}
	}
}
