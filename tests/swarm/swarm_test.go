//go:build linux

package swarm

import (
	"slices"
	"testing"
)

// TestSwarm plays the stories of a deployment on a real Swarm. Most of them wait most of the time, and so go beside
// each other; those that measure load have the machine for themselves.
func TestSwarm(t *testing.T) {
	d := needDocker(t)
	i := builtImage(d)
	d.initSwarm()
	t.Run("beside each other", func(t *testing.T) {
		all := slices.Clone(stories)
		for _, f := range faults() {
			all = append(all, story{f.name, f.play})
		}
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.play(d.in(t), i)
			})
		}
	})
	for _, s := range alone {
		t.Run(s.name, func(t *testing.T) { s.play(d.in(t), i) })
	}
	writeDocument(t)
}

// story is a part of TestSwarm.
type story struct {
	name string
	play func(docker, image)
}

var stories = []story{
	{"update of one replica", updateOneReplica},
	{"bad release", badRelease},
	{"release that falls ill", sickRelease},
	{"release that hangs", hungRelease},
	{"release whose disk hangs", hungDisk},
	{"two tasks on one volume", twoTasksOnOneVolume},
	{"told to stop", toldToStop},
	{"missing volume", missingVolume},
	{"lost node", lostNode},
	{"compose", composeOneMachine},
	{"the same binaries", sameBinaries},
}

// alone have the machine for themselves.
var alone = []story{
	{"no gap behind Caddy", noGapBehindCaddy},
	{"no gap behind HAProxy", noGapBehindHAProxy},
	{"update of two replicas", updateReplicas},
	{"update of three replicas with PostgreSQL", updateSharedReplicas},
	{"no restart", noRestart},
}

func storyNames() (names []string) {
	for _, s := range append(stories, alone...) {
		names = append(names, s.name)
	}
	return names
}
