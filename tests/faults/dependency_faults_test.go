//go:build linux

package faults

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"
)

// dependencyFaults are of another service that this one watches. They are said, and cost this container nothing.
var dependencyFaults = []fault{
	dependency("a dependency hangs", "", func(r *http.Request) int {
		<-r.Context().Done()
		return http.StatusOK
	}),
	dependency("a dependency answers 200 after its deadline", "", func(*http.Request) int {
		<-time.After(timeout + 200*time.Millisecond)
		return http.StatusOK
	}),
	dependency("a dependency refuses connections", "", nil),
	dependency("a dependency flaps: each second answer is 500",
		"one failure is below fail_after, so nothing turns; the check shows its last error", flap()),
}

func flap() func(*http.Request) int {
	var asked atomic.Int32
	return func(*http.Request) int {
		if asked.Add(1)%2 == 0 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}
}

// dependency answers 200 until it falls ill, and then what ill says; nil: it takes no connection.
func dependency(name, unseen string, ill func(*http.Request) (status int)) fault {
	f := fault{name: name, want: want{health: 200, check: "users", restart: serves, unseen: unseen}}
	var isIll atomic.Bool
	var server *httptest.Server
	f.setUp = func(s *scene) {
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isIll.Load() && ill != nil {
				w.WriteHeader(ill(r))
			}
		}))
		s.Cleanup(server.CloseClientConnections) // first: a request that hangs would hold up Close
		s.env = append(s.env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+server.URL+"/health")
	}
	f.do = func(*scene) {
		isIll.Store(true)
		if ill == nil {
			server.CloseClientConnections()
			server.Listener.Close()
		}
	}
	return f
}
