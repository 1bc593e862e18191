// Command bare answers every path with one constant account: by Gin, or with -nethttp by net/http alone. It is the
// upper bound that make bench-peers compares with.
package main

import (
	"bytes"
	"flag"
	"log"
	"net/http"

	"github.com/gin-gonic/gin"
)

var account = []byte(`{"id":"10000","name":"Person_0","version":1,` +
	`"created_at":"2026-11-22T14:39:46.123456Z","updated_at":"2026-11-22T14:39:46.123456Z"}` + "\n")

// long is as long as the answer of /health with six checks.
var long = bytes.Repeat([]byte("x"), 1429)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "host:port to listen on")
	plain := flag.Bool("nethttp", false, "without Gin")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*addr, handler(*plain)))
}

func handler(plain bool) http.Handler {
	if plain {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(account)
		})
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	write := func(c *gin.Context) { c.Data(http.StatusOK, "application/json", account) }
	engine.GET("/accounts/:id", write)
	engine.GET("/health", write)
	engine.GET("/long", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", long) })
	return engine
}
