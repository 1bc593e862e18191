package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/checks/dependency"
)

// dependencyChecks are the checks of the configured dependencies in the order of
// their names, and the key and fault of each URL that no check can be made of.
func dependencyChecks(cfg config.Config) (list []checks.Check, faults map[string]error) {
	faults = make(map[string]error)
	for _, name := range slices.Sorted(maps.Keys(cfg.Checks.Dependencies)) {
		dep := cfg.Checks.Dependencies[name]
		ask, err := dependency.New(dep.URL.Reveal(), dep.Timeout, dep.FailAfter)
		if err != nil && dep.URL != (config.URL{}) { // config reports a missing URL
			faults["checks.dependencies."+name+".url"] = err
		}
		list = append(list, newCheck(name, dep.Check, ask))
	}
	return list, faults
}

// unusableURLs is the config.Rule for URLs of dependencies.
func unusableURLs(cfg config.Config) map[string]error {
	_, faults := dependencyChecks(cfg)
	return faults
}

// newRunner returns a runner of the store's checks and those of the dependencies.
func newRunner(own []checks.Check, cfg config.Config, metrics prometheus.Registerer, log *slog.Logger) (*checks.Runner, error) {
	others, faults := dependencyChecks(cfg)
	for key, err := range faults { // a file that a URL names is gone since the start
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	runner, err := checks.New(component(), log, slices.Concat(own, others)...)
	if err != nil {
		return nil, err
	}
	return runner, runner.Register(metrics)
}

// component is what health says of who it is about.
func component() checks.Component {
	return checks.Component{Name: "accountservice", Version: version}
}

// pending is the health before the first check.
func pending(reason string) checks.Pending {
	return checks.Pending{Component: component(), Reason: reason}
}

func newCheck(name string, cfg config.Check, run func(context.Context) error) checks.Check {
	return checks.Check{
		Name:       name,
		OnFailure:  checks.Consequence(cfg.OnFailure),
		Run:        run,
		Interval:   cfg.Interval,
		Timeout:    cfg.Timeout,
		FailAfter:  cfg.FailAfter,
		PassAfter:  cfg.PassAfter,
		StaleAfter: cfg.StaleAfter,
	}
}
