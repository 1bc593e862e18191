package main

import (
	"fmt"
	"math"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory tells the Go runtime nine tenths of the container's memory limit
// as its own, unless GOMEMLIMIT is set, and returns what is in force and why.
// The rest is for the database's mapped pages, which the kernel gives back.
func limitMemory() string {
	limit, err := memlimit.Set()
	switch _, set := os.LookupEnv("GOMEMLIMIT"); {
	case err != nil:
		return fmt.Sprintf("none (the container's limit could not be read: %v)", err)
	case set:
		return fmt.Sprintf("%d bytes (from GOMEMLIMIT)", limit)
	case limit == math.MaxInt64:
		return "none (the container has no memory limit)"
	}
	return fmt.Sprintf("%d bytes (nine tenths of the container's limit)", limit)
}
