package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. Its text is 64MiB or the like: powers of 1024 only, because MB can mean two sizes.
type Bytes int64

// byteUnits goes from the largest down, so that String finds the shortest form.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"PiB", 1 << 50},
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
}

// String is exact: the largest unit that divides b, or a plain number.
func (b Bytes) String() string {
	for _, unit := range byteUnits {
		if b != 0 && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText is String, for JSON and YAML.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// parseBytes takes whole numbers only: 1.5GiB has an exact spelling, 1536MiB.
func parseBytes(text string) (Bytes, error) {
	digits, size := text, Bytes(1)
	for _, unit := range byteUnits {
		if rest, ok := strings.CutSuffix(text, unit.name); ok {
			digits, size = rest, unit.size
			break
		}
	}
	n, err := parseDecimal(digits)
	if errors.Is(err, errNotDecimal) {
		return 0, errors.New("must be a size: a decimal number of bytes without leading zeros, 0x, _ or e, " +
			"or of KiB, MiB, GiB, TiB or PiB, such as 64MiB")
	}
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64/int64(size) || n < math.MinInt64/int64(size) {
		return 0, errTooLarge
	}
	return Bytes(n) * size, nil
}
