package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"accountservice/config"
	"accountservice/internal/bounded"
	"accountservice/internal/checks"
	"accountservice/internal/notice"
	"accountservice/internal/store/boltstore"
)

// stopsTimeout bounds the reading and the writing of earlier stops: the disk may not answer.
const stopsTimeout = time.Second

// keepStop writes beside the database why the service ends with exitFailed or exitUnhealthy, so that the next starts
// can log it: on a Swarm, an ended task and its log are soon gone. It writes nothing where there never was a database.
// It ignores errors, because the log already has the reason.
func keepStop(cfg config.Store, why *exit) {
	if cfg.Driver != "bolt" || why.code != exitFailed && why.code != exitUnhealthy {
		return
	}
	if errors.Is(why.err, boltstore.ErrLocked) || errors.Is(why.err, syscall.EADDRINUSE) {
		return // the file may be that of the service that runs
	}
	soon(func() error {
		isNew, err := boltstore.IsNew(boltOptions(cfg.Bolt, nil))
		if err != nil || isNew {
			return err
		}
		return notice.AddStop(cfg.Bolt.Path, why.code, why.err.Error(), time.Now())
	})
}

// earlierStops returns and logs why the service stopped before.
func earlierStops(cfg config.Store, log *slog.Logger) (list []notice.Stop) {
	if cfg.Driver != "bolt" {
		return nil
	}
	list = soon(func() []notice.Stop {
		list, err := notice.Stops(cfg.Bolt.Path, time.Now())
		if err != nil {
			log.Warn("the file with the reasons of earlier stops can't be read", "err", err)
		}
		return list
	})
	for _, s := range list {
		log.Warn("stopped before", "exit_code", s.ExitCode, "times", s.Times, "first", s.First, "last", s.Last,
			"err", s.Reason)
	}
	return list
}

// stopChecks has the check that warns of earlier stops, if there are any.
func stopChecks(list []notice.Stop, all config.Checks) []checks.Check {
	if len(list) == 0 {
		return nil
	}
	return []checks.Check{ownCheck("stops", all, notice.CheckStops(list, time.Now))}
}

// soon returns the result of f, or a zero value if f takes longer than stopsTimeout; f then goes on in the background.
func soon[T any](f func() T) T {
	ctx, cancel := context.WithTimeout(context.Background(), stopsTimeout)
	defer cancel()
	v, _ := bounded.Call(ctx, func() (T, error) { return f(), nil })
	return v
}

// unreadyReasons lists the failing checks of s and the other reasons why the service is not ready.
func unreadyReasons(s *checks.Snapshot) string {
	var all []string
	for _, c := range s.Checks {
		if c.Status != checks.OK {
			all = append(all, fmt.Sprintf("%s (%s): %s", c.Name, c.OnFailure, c.Error))
		}
	}
	for _, r := range s.Reasons {
		all = append(all, r.Name+": "+r.Text)
	}
	return strings.Join(all, "; ")
}
