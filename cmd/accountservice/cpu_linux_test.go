package main

import (
	"os/exec"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestOnASingleCPUAFlushLeavesRoomForAnotherGoroutine(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip("needs taskset")
	}
	for variable, want := range map[string]string{"": "2", "1": "1"} {
		p := harness.Start(t, exec.Command("taskset", "-c", "0", binary()), newPath(t), anyAdmin,
			"GOMAXPROCS="+variable)
		p.Await(t, "/health", 200)
		if _, text := order(t, p, "GET", "/metrics", ""); !strings.Contains(text, "\ngo_sched_gomaxprocs_threads "+want+"\n") {
			t.Errorf("with GOMAXPROCS=%q the service does not run %s at once", variable, want)
		}
		p.Stop(t, 0)
	}
}
