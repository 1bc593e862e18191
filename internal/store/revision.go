package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// Revision names one state of one account: two states of equal Revision have equal content, version and times. It is
// made of characters that an entity tag may have.
type Revision string

// Revision returns that of a. The version alone would not do: an account that
// was removed and made again begins with 1 again.
func (a Account) Revision() Revision {
	buf := make([]byte, 0, 256)
	add := func(text string) {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(text))) // so that no two lists of parts are one text
		buf = append(buf, text...)
	}
	add(string(a.ID))
	a.Draft.eachPart(add)
	buf = binary.BigEndian.AppendUint64(buf, uint64(a.Version))
	buf = binary.BigEndian.AppendUint64(buf, uint64(a.CreatedAt.UnixMicro()))
	buf = binary.BigEndian.AppendUint64(buf, uint64(a.UpdatedAt.UnixMicro()))
	digest := sha256.Sum256(buf)
	return Revision(strconv.FormatInt(a.Version, 10) + "-" + base64.RawURLEncoding.EncodeToString(digest[:12]))
}
