package awake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/awake"
)

func TestTurnsThatCameLateAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turn = 50 * time.Millisecond
		c := awake.NewClock(turn)
		began := c.Now()
		if began == 0 {
			t.Error("it begins with no time")
		}
		for _, passed := range []time.Duration{turn, turn / 2, turn + turn/2, 2 * turn, time.Hour, turn} {
			time.Sleep(passed) // of the bubble
			c.Tick()
		}
		if got, want := c.Now()-began, 3*turn+turn/2; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
	})
}

func TestClockRunsUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := awake.NewClock(time.Second), make(chan struct{})
		began := c.Now()
		go c.Run(stop)
		time.Sleep(10*time.Second + time.Millisecond)
		close(stop)
		synctest.Wait()
		if got := c.Now() - began; got != 10*time.Second {
			t.Errorf("counted %s in 10 s", got)
		}
	})
}
