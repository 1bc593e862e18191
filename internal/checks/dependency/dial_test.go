package dependency

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// Package net alone would give all the time to the first address.
func TestAnAddressThatLeadsNowhereLeavesTimeForTheNext(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "hello") })
	good := p.Addr().(*net.TCPAddr)
	harness.FullQueue(t, "tcp4", fmt.Sprint("127.0.0.2:", good.Port))
	hole, nobody := net.IPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.IPAddr{IP: net.IPv4(127, 0, 0, 3)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*brief) // so much as makes package net wait longest
	defer cancel()
	conn, err := reach(ctx, []net.IPAddr{hole, nobody, {IP: good.IP}}, strconv.Itoa(good.Port), 2*brief)
	harness.Must(t, err)
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if _, _, total := p.counted(); total != 1 {
		t.Errorf("%d connections, want 1", total)
	}
}

func TestARunIsLateOnlyWhenItsContextEnds(t *testing.T) {
	ca := harness.NewAuthority(t)
	config := ca.Server(t, 1000*time.Hour, "svc.test")
	redis := newPeer(t, speaks).Addr().String()
	urls := []string{
		"tcp://" + redis,
		"redis://:hunter2@" + strings.Replace(redis, "127.0.0.1", "localhost", 1) + "?plaintext_login=allow", // first ::1, where nobody is
		fmt.Sprintf("dns://%s/users.test", newNameServer(t, reply(0, a))),
	}
	for url, server := range plainServers(t) {
		urls = append(urls, fmt.Sprintf(url, server))
	}
	for kind, serve := range secureServers {
		urls = append(urls, fmt.Sprintf(overTLS[kind].url, serve(t, config), ca.File))
	}
	for _, url := range urls {
		run, err := New(url, time.Nanosecond, 3) // it has been over for long
		harness.Must(t, err)
		for range 2 {
			if err := run.Ask(t.Context()); err != nil {
				t.Errorf("%.30s: %v, want it healthy", url, err)
			}
		}
	}
}
