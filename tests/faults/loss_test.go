//go:build linux

package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
)

// loss is what a service does not have of what was stored.
type loss struct {
	writes     int    // acknowledged writes that are not there
	seeds      int    // seeded accounts that are not there
	unreadable int    // accounts that the service knows it cannot read
	silent     string // why nothing could be asked
}

func (l loss) none() bool { return l == loss{} }

func (l loss) String() string {
	if l.silent != "" {
		return "? (" + l.silent + ")"
	}
	text := fmt.Sprint(l.writes)
	if l.seeds > 0 {
		text += fmt.Sprintf(" and %d seeded accounts", l.seeds)
	}
	switch {
	case l.unreadable == 1:
		text += "; the damaged account answers 503"
	case l.unreadable > 1:
		text += "; accounts on the damaged page answer 503"
	}
	return text
}

// compare holds the accounts of a service to what this load wrote and to the seeds.
func (l *load) compare(url string, seeds int) (lost loss) {
	want := make(map[string]account, seeds+len(l.acked))
	for n := range seeds {
		id := fmt.Sprint(10000 + n)
		want[id] = account{ID: id, Name: fmt.Sprint("Person_", n)}
	}
	for id, acc := range l.acked {
		want[id] = acc
	}
	there, whole := l.list(url)
	left := make(map[string]account) // to ask for one by one: a page of the list can't be read, or it leaves damaged ones out
	for id, acc := range want {
		if _, listed := there[id]; !listed || !whole {
			left[id] = acc
		}
	}
	asked, lost := l.each(url, left)
	if lost.silent != "" {
		return lost
	}
	maps.Copy(there, asked)
	for id, acc := range want {
		now, known := there[id]
		switch missing := int(max(0, acc.Version-now.Version)); {
		case !known: // counted as unreadable
		case acc.Version == 0 && now.Name != acc.Name:
			lost.seeds++
		case missing == 0 && now.Version == acc.Version && now.Name != acc.Name:
			lost.writes++
		default:
			lost.writes += missing
		}
	}
	return lost
}

// each asks for these accounts one by one, some at once. What can't be read is counted and left out of there.
func (l *load) each(url string, want map[string]account) (there map[string]account, lost loss) {
	at := newLoad(url) // what it is told is no answer to a client
	defer at.client.CloseIdleConnections()
	there = make(map[string]account)
	var mu sync.Mutex
	var asking sync.WaitGroup
	slots := make(chan struct{}, 16)
	for id := range want {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			acc, code := at.do("GET", url+"/accounts/"+id, "")
			mu.Lock()
			defer mu.Unlock()
			switch code {
			case http.StatusOK, http.StatusNotFound:
				there[id] = acc
			case http.StatusServiceUnavailable:
				lost.unreadable++
			default:
				lost.silent = fmt.Sprintf("GET %s = %d", id, code)
			}
		})
	}
	asking.Wait()
	return there, lost
}

// list reads all accounts by pages, as far as they can be read.
func (l *load) list(url string) (there map[string]account, whole bool) {
	there = make(map[string]account)
	for query := "?limit=1000"; ; {
		var page struct {
			Items      []account
			NextCursor string `json:"next_cursor"`
		}
		code, body, err := l.send("GET", url+"/accounts"+query, "")
		if err != nil || code != http.StatusOK || json.Unmarshal(body, &page) != nil {
			l.wrong("GET /accounts%s = %d %.300s, %v", query, code, body, err)
			return there, false
		}
		for _, acc := range page.Items {
			there[acc.ID] = acc
		}
		if page.NextCursor == "" {
			return there, true
		}
		query = "?limit=1000&cursor=" + page.NextCursor
	}
}
