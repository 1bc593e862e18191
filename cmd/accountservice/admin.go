package main

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"accountservice/config"
	"accountservice/internal/handlers"
)

const (
	adminReadHeaderTimeout = 5 * time.Second
	adminReadTimeout       = 10 * time.Second
	adminIdleTimeout       = time.Minute
	// adminWriteTimeout bounds an answer to an operator; a profile may take a minute.
	adminWriteTimeout = 2 * time.Minute
)

// admin is the server for operators. It serves from before the store is opened
// until it is closed. Without an address it does nothing.
type admin struct {
	*listener
	handler atomic.Pointer[http.Handler]
}

// listenAdmin takes the address and serves the admin API on it.
func listenAdmin(cfg config.Admin, api handlers.Admin, log *slog.Logger) (a *admin, err error) {
	a = &admin{}
	a.serve(api)
	if cfg.Off() {
		return a, nil
	}
	a.listener, err = listen(cfg.Addr, "admin.addr "+cfg.Addr, "admin.addr, which may be off", &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*a.handler.Load()).ServeHTTP(w, r) }),
		ReadHeaderTimeout: adminReadHeaderTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
	}, log)
	if err != nil {
		return nil, err
	}
	log.Info("operators are served", "admin.addr", a.addr.String())
	return a, nil
}

// serve replaces the admin API.
func (a *admin) serve(api handlers.Admin) {
	routes := api.Handler()
	a.handler.Store(&routes)
}

func (a *admin) close() {
	if a.listener != nil {
		a.listener.close()
	}
}
