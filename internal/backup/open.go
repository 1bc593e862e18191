package backup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Open returns the target that to names: an absolute or relative path of a folder, or s3://BUCKET or
// s3://BUCKET/PREFIX, which is reached as s3 says. It asks nothing of the target yet.
func Open(to string, s3 S3) (Target, error) {
	scheme, rest, isURL := strings.Cut(to, "://")
	switch {
	case to == "":
		return nil, errors.New("names no target for backups: it must be a folder or s3://BUCKET/PREFIX")
	case isURL && scheme == "s3":
		return openBucket(rest, s3)
	case isURL:
		return nil, fmt.Errorf("must be a folder or s3://BUCKET/PREFIX, not %.20q://", scheme)
	case strings.HasPrefix(to, "s3:"):
		return nil, errors.New("must have two slashes after s3: as in s3://BUCKET/PREFIX")
	}
	return folder{filepath.Clean(to), make(chan struct{}, 1), new(listing)}, nil
}
