package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// S3 says how a server of the S3 protocol is reached.
type S3 struct {
	Endpoint  string // URL of the server; "" is that of AWS in Region
	Region    string
	PathStyle bool // the bucket is the first part of the path; else of the host
	AccessKey string
	SecretKey string
}

const (
	// maxObject is the largest object in bytes that one request can put.
	maxObject = 5 << 30
	maxHeader = 64 << 10 // bytes of the header of an answer
	// silenceTimeout is how long a server may take nothing of a body, send nothing of an answer, or not begin one.
	silenceTimeout = time.Minute
	dialTimeout    = 5 * time.Second
	tries          = 3
	firstPause     = time.Second // before the second try; then twice as long
)

// bucket is a Target in an S3 bucket.
type bucket struct {
	S3
	base    url.URL // of the bucket
	prefix  string  // of all keys: "" or one that ends with /
	name    string  // as the operator named it
	client  *http.Client
	silence time.Duration
	pause   time.Duration
	now     func() time.Time
}

func openBucket(rest string, s3 S3) (*bucket, error) {
	name, prefix, _ := strings.Cut(rest, "/")
	if name == "" || strings.ContainsAny(rest, "?#@:%") {
		return nil, errors.New("must be s3://BUCKET or s3://BUCKET/PREFIX")
	}
	if s3.AccessKey == "" || s3.SecretKey == "" || s3.Region == "" {
		return nil, errors.New("s3:// needs backup.s3.region, backup.s3.access_key and backup.s3.secret_key")
	}
	base, err := s3.Server()
	switch {
	case err != nil && s3.Endpoint == "":
		return nil, errors.New("backup.s3.region must be one of AWS, such as eu-central-1, or backup.s3.endpoint be set")
	case err != nil:
		return nil, fmt.Errorf("backup.s3.endpoint %w", err)
	}
	b := &bucket{S3: s3, base: url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/"}, name: "s3://" + rest,
		silence: silenceTimeout, pause: firstPause, now: time.Now}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		b.prefix = prefix + "/"
	}
	if s3.PathStyle {
		b.base.Path += name + "/"
	} else {
		b.base.Host = name + "." + b.base.Host
	}
	b.client = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,

			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the signature is for one host
	}
	return b, nil
}

// Server is the URL of the server. The error continues the name or the value of Endpoint, and repeats nothing of it.
func (s S3) Server() (*url.URL, error) {
	base, err := url.Parse(cmp.Or(s.Endpoint, "https://s3."+s.Region+".amazonaws.com"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil ||
		strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("must be the URL of a server, such as https://minio.example.org:9000, without a login, " +
			"a path, a ? or a #")
	}
	return base, nil
}

func (b *bucket) String() string  { return b.name }
func (b *bucket) Staging() string { return "" }

func (b *bucket) List(ctx context.Context) ([]Backup, error) {
	list, err := b.list(ctx, namePrefix)
	if err != nil {
		return nil, fmt.Errorf("listing the backups in %s: %w", b.name, err)
	}
	sortNewest(list)
	return list, nil
}

// page is an answer to ListObjectsV2. Other XML, such as the page of a proxy, is an error.
type page struct {
	XMLName  xml.Name `xml:"ListBucketResult"`
	Contents []struct {
		Key  string
		Size int64
	}
	IsTruncated           bool
	NextContinuationToken string
}

// list returns the backups whose names begin with start.
func (b *bucket) list(ctx context.Context, start string) (list []Backup, err error) {
	query := url.Values{"list-type": {"2"}, "prefix": {b.prefix + start}}
	for {
		var found page
		err := b.again(ctx, func() error {
			found = page{} // Decode appends to what a try that was cut left
			resp, err := b.do(ctx, http.MethodGet, "", query, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			err = xml.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&found)
			if err != nil {
				err = fmt.Errorf("the answer is no list of S3, check backup.s3.endpoint: %w", err)
				return &refusal{err: err, again: true}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, object := range found.Contents {
			if b, ok := ParseName(strings.TrimPrefix(object.Key, b.prefix)); ok {
				b.Size = object.Size
				list = append(list, b)
			}
		}
		if !found.IsTruncated {
			return list, nil
		}
		if next := found.NextContinuationToken; next == "" || next == query.Get("continuation-token") {
			return nil, errors.New("the server says that the list goes on, and not where")
		}
		query.Set("continuation-token", found.NextContinuationToken)
	}
}

func (b *bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var resp *http.Response
	err := b.again(ctx, func() (err error) {
		resp, err = b.do(ctx, http.MethodGet, name, nil, nil)
		return err
	})
	if err == nil && resp.ContentLength < 0 { // a cut answer would look like a whole one
		resp.Body.Close()
		err = errors.New("the server does not say its length")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the backup %s in %s: %w", name, b.name, err)
	}
	return resp.Body, nil
}

func (b *bucket) Put(ctx context.Context, name string, content *os.File) error {
	err := checkName(name)
	if err == nil {
		err = b.put(ctx, name, content)
	}
	if err != nil {
		return fmt.Errorf("writing the backup %s into %s: %w", name, b.name, err)
	}
	return nil
}

func (b *bucket) put(ctx context.Context, name string, content *os.File) error {
	info, err := content.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxObject {
		return fmt.Errorf("it has %d MiB, and S3 takes 5 GiB at most in one request: use a folder", info.Size()>>20)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, readerUntil{ctx, io.NewSectionReader(content, 0, info.Size())}); err != nil {
		return err
	}
	whole := &upload{content, info.Size(), hex.EncodeToString(sum.Sum(nil))}
	if err := b.request(ctx, http.MethodPut, name, whole); err != nil {
		return err
	}
	list, err := b.list(ctx, name) // a proxy can answer 200 to anything
	if r, is := errors.AsType[*refusal](err); is && r.denied {
		return fmt.Errorf("%w: %w", ErrNotListed, err)
	}
	if err == nil && (len(list) != 1 || list[0].Name != name || list[0].Size != info.Size()) {
		err = fmt.Errorf("%s is not there after it was stored", name)
	}
	return err
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	err := checkName(name)
	if err == nil {
		err = b.request(ctx, http.MethodDelete, name, nil)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the backup %s in %s: %w", name, b.name, err)
	}
	return nil
}
