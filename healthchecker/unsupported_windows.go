package main

import _ "embed"

// There is no file of this name: go build shows it and stops. Locks, free space and signals are those of Unix here.
//
//go:embed "accountservice does not run on Windows, use its Linux image or WSL"
var _ string
