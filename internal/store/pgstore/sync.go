package pgstore

import (
	"regexp"
	"strings"
)

// patroniPlaceholder is what Patroni's strict synchronous mode names while there is no standby to wait for.
const patroniPlaceholder = "__patroni_strict_sync_replica_placeholder__"

// patroniWaits is the refusal that ends by itself.
const patroniWaits = "Patroni's strict synchronous mode has no standby: every write waits until one is back"

// standbyList matches FIRST 1 (a, b), ANY 1 (a, b) and 1 (a, b); a list without a number is the names alone.
var standbyList = regexp.MustCompile(`(?is)^(?:(?:FIRST|ANY)\s+)?\d+\s*\((.*)\)$`)

// syncRefusal says why a commit may be acknowledged before a standby has it, or never; "" if each commit waits for a
// standby that is named.
func syncRefusal(commit, standbys string) string {
	switch commit {
	case "on", "remote_apply":
	case "remote_write":
		return "synchronous_commit is remote_write: a standby that crashes can lose an acknowledged write; set it to on"
	default:
		return "synchronous_commit is " + commit + ": no write waits for a standby; set it to on"
	}
	names := strings.TrimSpace(standbys)
	if list := standbyList.FindStringSubmatch(names); list != nil {
		names = list[1]
	}
	real, placeholders := 0, 0
	for name := range strings.SplitSeq(names, ",") {
		switch strings.Trim(name, "\" \t\n") {
		case "":
		case patroniPlaceholder:
			placeholders++
		default:
			real++
		}
	}
	switch {
	case real > 0:
		return ""
	case placeholders > 0:
		return patroniWaits
	}
	return "synchronous_standby_names is empty: no write waits for a standby"
}
