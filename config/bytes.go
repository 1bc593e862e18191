package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. Its text is 64MiB or the like: powers of 1024 only, because MB can mean two sizes.
type Bytes int64

// byteUnits are KiB, MiB and so on.
const byteUnits = "KMGTP"

// String is exact: the largest unit that divides b, or a plain number.
func (b Bytes) String() string {
	unit := ""
	for i := 0; b != 0 && b%1024 == 0 && i < len(byteUnits); i++ {
		b, unit = b/1024, byteUnits[i:i+1]+"iB"
	}
	return strconv.FormatInt(int64(b), 10) + unit
}

// parseBytes takes whole numbers only: 1.5GiB has an exact spelling, 1536MiB.
func parseBytes(text string) (Bytes, error) {
	digits, size := text, int64(1)
	for i := range byteUnits {
		if rest, ok := strings.CutSuffix(text, byteUnits[i:i+1]+"iB"); ok {
			digits, size = rest, 1024<<(10*i)
		}
	}
	n, err := parseDecimal(digits)
	switch {
	case errors.Is(err, errNotDecimal):
		return 0, errors.New("must be a size: a decimal number of bytes without leading zeros, 0x, _ or e, " +
			"or of KiB, MiB, GiB, TiB or PiB, such as 64MiB")
	case err != nil:
		return 0, err
	case n > math.MaxInt64/size || n < math.MinInt64/size:
		return 0, errTooLarge
	}
	return Bytes(n * size), nil
}
