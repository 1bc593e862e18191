// Package configs holds the files that an operator edits or mounts, and no code.
package configs

import _ "embed"

// Sample has every setting with its default, and behind it what it means.
//
//go:embed accountservice.yaml
var Sample string
