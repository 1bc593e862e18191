// Command server is an S3 server for tests: in memory, with the bucket "backups", on the address of its first argument.
// Its second argument is the id of a key, its third the key.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

func main() {
	backend := s3mem.New()
	if err := backend.CreateBucket(context.Background(), "backups"); err != nil {
		log.Fatal(err)
	}
	api := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{os.Args[2]: os.Args[3]})).Server()
	log.Fatal(http.ListenAndServe(os.Args[1], api))
}
