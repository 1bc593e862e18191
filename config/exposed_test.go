package config

import (
	"slices"
	"testing"
)

func TestPortThatTheImageDoesNotExposeIsAWarning(t *testing.T) {
	const image, port = "ACCOUNTSERVICE_EXPOSED_PORT=6767", "ACCOUNTSERVICE_HTTP_PORT="
	for _, c := range []struct {
		environ []string
		want    []string
	}{
		{[]string{port + "7000"}, nil},
		{[]string{image}, nil},
		{[]string{"ACCOUNTSERVICE_EXPOSED_PORT=", port + "7000"}, nil},
		{[]string{image, port + "6767"}, nil},
		{[]string{image, port + "7000"}, []string{"http.port: 7000 (from ACCOUNTSERVICE_HTTP_PORT) is not the port 6767 that the image " +
			"exposes: nobody can connect through a published port that leads to 6767; publish another port with that target " +
			"instead, or change the target to 7000"}},
	} {
		if got := load(t, c.environ...).Warnings; !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.environ, got, c.want)
		}
	}
}
