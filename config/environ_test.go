package config

import (
	"testing"

	"accountservice/tests/harness"
)

func TestFaultsOfTheEnvironment(t *testing.T) {
	harness.Cases(t, "testdata/environ.txt", func(_ *testing.T, environ []string) string {
		if _, err := Load("", environ); err != nil {
			return err.Error()
		}
		return ""
	})
}
