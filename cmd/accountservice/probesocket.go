package main

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"accountservice/internal/connections"
	"accountservice/internal/handlers"
	"accountservice/internal/probesocket"
)

// serveProbe serves GET and HEAD of /health on the socket where the probe of this container looks for it, with any
// configuration and with all reasons. It returns nil if there can be no socket: the probe can ask the port.
func serveProbe(pool *connections.Pool, api http.Handler, environ []string, log *slog.Logger) *listener {
	name, err := probesocket.Name(environ)
	var socket net.Listener
	if err == nil {
		socket, err = net.Listen("unix", name)
	}
	if err != nil {
		log.Warn("healthchecker needs -port: its socket can't be served", "err", err)
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(w, r.WithContext(handlers.WithReasons(r.Context())))
	})
	const timeout = 5 * time.Second
	server := &http.Server{Handler: mux, ReadTimeout: timeout, WriteTimeout: timeout}
	return serveOn(pool.Reserved(socket), server, log, (*http.Server).Serve)
}
