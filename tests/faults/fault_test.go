//go:build linux

package faults

import (
	"slices"
	"time"
)

// The published defaults of every check, which are what is measured.
const (
	interval  = 2 * time.Second
	timeout   = 1 * time.Second
	failAfter = 2
	bound     = interval*failAfter + timeout + time.Second
	hungAfter = 10 * time.Second // without any answer of the disk
	hungBound = hungAfter + bound
	walkStep  = 1024 // accounts that the records check decodes in one run
)

// walkBound is the time in which a check that reads a slice of all accounts at
// each run has read them all, and then turned.
func walkBound(accounts int) time.Duration {
	return time.Duration(accounts/walkStep+1)*interval + bound
}

// fault is one row of the table: what is done to a running service, by one of
// harm, device and do, and what must come of it.
type fault struct {
	name  string
	place kind
	seeds int // 2000 where 0
	every time.Duration
	long  bool // writes make the file grow
	alone bool // with no other row beside it
	env   []string
	later []string // more environment, for starts after the fault

	still  bool // nobody writes from before the fault on
	paused bool // nobody writes while harm is done
	harm   func(*dbFile)
	device sickness
	do     func(*scene)

	setUp   func(*scene) // before the service starts
	prepare func(*scene) // before the clock runs
	watch   func(*scene) // instead of waiting for /health to turn
	after   func(*scene) // while the clients still run
	repair  func(*scene) // after the restart on the sick place; the service must then serve everything
	mended  string       // what repair is, in the table

	want want
}

// want is what a row expects.
type want struct {
	health   int           // of /health: 503 where 0
	check    string        // the check that says it; bolt where ""
	within   time.Duration // bound where 0, 2 x bound where unseen
	unseen   string        // why it cannot be seen, and what is seen instead
	dies     bool          // the process ends by it
	stuck    bool          // the kernel may keep processes until the repair
	codes    string        // answers that requests may get, beside 200, 201 and 503
	exit     int           // of the stop of a service whose /health is 200
	restart  restart
	slowBack time.Duration // how long a restart may take to refuse; 3 s where 0
}

// restart is what a start after the fault must do.
type restart string

const (
	lossless restart = ""         // serve with nothing lost, or refuse with one line
	serves   restart = "serves"   // with nothing lost
	refuses  restart = "refuses"  // with one line
	restored restart = "restored" // serve another database, and say so
	damaged  restart = "damaged"  // serve all but what is on the damaged page, and say that
)

// allFaults are the rows of running services, in the order of the table.
var allFaults = slices.Concat(nameFaults, contentFaults, diskFaults, hangFaults, slowFaults, dependencyFaults, timeFaults)
