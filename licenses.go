// Package accountservice holds the licences of the programs: their own, and those of the software in them.
package accountservice

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
)

// License is the licence of the programs.
//
//go:embed LICENSE
var License string

// thirdParty is THIRD_PARTY, compressed to a ninth so that the image stays small.
//
//go:embed THIRD_PARTY.gz
var thirdParty []byte

// WriteThirdParty writes the list of the software of others in the programs, with the text of each licence. make
// licenses writes its file.
func WriteThirdParty(w io.Writer) error {
	text, err := gzip.NewReader(bytes.NewReader(thirdParty))
	if err == nil {
		_, err = io.Copy(w, text)
	}
	return err
}
