package backup

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// The examples of AWS: "Signature Calculations for the Authorization Header" of the API reference of S3.
func TestSignatureIsThatOfTheExamplesOfAWS(t *testing.T) {
	s3 := S3{Region: "us-east-1", AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	day := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, example := range []struct{ method, url, header, value, body, want string }{
		{"GET", "https://examplebucket.s3.amazonaws.com/test.txt", "Range", "bytes=0-9", "",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", "", "", "",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		{"PUT", "https://examplebucket.s3.amazonaws.com/test%24file.text", "x-amz-storage-class", "REDUCED_REDUNDANCY",
			"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	} {
		r, err := http.NewRequest(example.method, example.url, nil)
		harness.Must(t, err)
		if example.header != "" {
			r.Header.Set(example.header, example.value)
		}
		if example.method == "PUT" {
			r.Header.Set("Date", "Fri, 24 May 2013 00:00:00 GMT")
		}
		s3.sign(r, fmt.Sprintf("%x", sha256.Sum256([]byte(example.body))), day)
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+example.want) {
			t.Errorf("%s %s is signed %s\nwant %s", example.method, example.url, got, example.want)
		}
	}
}

func TestKeyIsEscapedAsItIsSigned(t *testing.T) {
	if got := escaped("a b/ü+$~_-.9"); got != "a%20b/%C3%BC%2B%24~_-.9" {
		t.Errorf("it is %s", got)
	}
}
