package main

import (
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"accountservice/internal/probesocket"
)

// serveProbe serves GET and HEAD of /health on the socket where the probe of this
// container looks for it, with any configuration and with all reasons. Without the
// socket the service does without: the probe can ask the port.
func serveProbe(api http.Handler, environ []string, log *slog.Logger) (stop func()) {
	if runtime.GOOS != "linux" { // the probe asks the port there
		return func() {}
	}
	name, err := probesocket.Name(environ)
	var socket net.Listener
	if err == nil {
		socket, err = net.Listen("unix", name)
	}
	if err != nil {
		log.Warn("healthchecker needs -port: its socket can't be served", "err", err)
		return func() {}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /health", api)
	server := &http.Server{
		Handler:                      mux,
		ReadTimeout:                  5 * time.Second,
		WriteTimeout:                 5 * time.Second,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(socket)
	}()
	return func() {
		server.Close()
		<-ended
	}
}
