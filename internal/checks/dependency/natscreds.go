package dependency

import (
	"crypto/ed25519"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"os"
	"strings"
)

// natsCredentials are of a file with the seed of a user's key (SU...), and with a JWT in a file of nsc's form.
type natsCredentials struct {
	key ed25519.PrivateKey
	jwt string // "" for a user whom the server knows by the key
}

// natsEncoding is of keys, which end with a checksum.
var natsEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// readNATSCredentials is called again for every connection.
func readNATSCredentials(file string) (natsCredentials, error) {
	var c natsCredentials
	if !isFile(file) {
		return c, errNoCredentials
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return c, errNoCredentials
	}
	for line := range strings.FieldsSeq(string(content)) {
		raw, err := natsEncoding.DecodeString(line)
		switch {
		case strings.HasPrefix(line, "eyJ"):
			c.jwt = line
		case err == nil && strings.HasPrefix(line, "SU") && len(raw) == 2+ed25519.SeedSize+2 &&
			crc16(raw[:len(raw)-2]) == binary.LittleEndian.Uint16(raw[len(raw)-2:]):
			c.key = ed25519.NewKeyFromSeed(raw[2 : len(raw)-2])
		}
	}
	if c.key == nil {
		return c, errNoCredentials
	}
	return c, nil
}

var errNoCredentials = verdictf("the file of creds_file has no seed of a user's key (SU...), or can't be read")

// sign adds what proves the user to hello: the answer to the server's nonce.
func (c natsCredentials) sign(hello map[string]any, nonce string) {
	hello["sig"] = base64.RawURLEncoding.EncodeToString(ed25519.Sign(c.key, []byte(nonce)))
	if c.jwt != "" {
		hello["jwt"] = c.jwt
		return
	}
	const user = 20 << 3 // a U, once encoded
	public := append([]byte{user}, c.key.Public().(ed25519.PublicKey)...)
	hello["nkey"] = natsEncoding.EncodeToString(binary.LittleEndian.AppendUint16(public, crc16(public)))
}

// crc16 is CRC-16/XMODEM.
func crc16(data []byte) (sum uint16) {
	for _, b := range data {
		sum ^= uint16(b) << 8
		for range 8 {
			carry := sum >> 15
			sum = sum<<1 ^ carry*0x1021
		}
	}
	return sum
}
