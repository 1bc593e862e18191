package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// sign adds the signature (AWS Signature Version 4) of service s3 to a request whose host, headers, path and query are
// complete. bodySum is the SHA-256 of its body in hexadecimal digits.
func (s S3) sign(r *http.Request, bodySum string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Content-Sha256", bodySum)
	signed := map[string]string{"host": r.URL.Host}
	for name := range r.Header {
		signed[strings.ToLower(name)] = strings.TrimSpace(r.Header.Get(name))
	}
	names := slices.Sorted(maps.Keys(signed))
	var headers strings.Builder
	for _, name := range names {
		fmt.Fprintf(&headers, "%s:%s\n", name, signed[name])
	}
	list := strings.Join(names, ";")
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") // Encode sorts
	request := strings.Join([]string{r.Method, r.URL.EscapedPath(), query, headers.String(), list, bodySum}, "\n")
	sum := sha256.Sum256([]byte(request))
	scope := strings.Join([]string{stamp[:8], s.Region, "s3", "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + s.SecretKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%x",
		s.AccessKey, scope, list, mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// escaped is a key as a path that S3 signs: all but letters, digits and -._~/ is escaped.
func escaped(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
