//go:build linux

package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"
)

// How a dependency behaves once it is ill.
const (
	silent int32 = iota + 1
	answersLate
	flaps
	refusesConnections
)

// dependencyFaults are of another service that this one watches. They are said,
// and cost this container nothing.
var dependencyFaults = []fault{
	dependency("a dependency hangs", silent),
	dependency("a dependency answers 200 after its deadline", answersLate),
	dependency("a dependency refuses connections", refusesConnections),
	dependency("a dependency flaps: each second answer is 500", flaps),
}

func dependency(name string, illness int32) fault {
	f := fault{name: name, want: want{health: 200, check: "users", restart: serves}}
	if illness == flaps {
		f.want.unseen = "one failure is below fail_after, so nothing turns; the check shows its last error"
	}
	var mode atomic.Int32
	var server *httptest.Server
	f.setUp = func(s *scene) {
		server = httptest.NewServer(other(&mode))
		s.Cleanup(server.CloseClientConnections) // first: a request that hangs would hold up Close
		s.env = append(s.env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+server.URL+"/health")
	}
	f.do = func(*scene) {
		mode.Store(illness)
		if illness == refusesConnections {
			server.CloseClientConnections()
			server.Listener.Close()
		}
	}
	return f
}

// other is the service that falls ill.
func other(mode *atomic.Int32) http.HandlerFunc {
	var asked atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		switch mode.Load() {
		case silent:
			<-r.Context().Done()
		case answersLate:
			<-time.After(timeout + 200*time.Millisecond)
		case flaps:
			if asked.Add(1)%2 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
		io.WriteString(w, "fine")
	}
}
