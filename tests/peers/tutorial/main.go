// Command tutorial is the service of the tutorial that accountservice replaces, written anew in its way: gorilla/mux,
// one View for each read, JSON decoded and encoded again, and a health answer that asks nothing. Its creates, which the
// tutorial did not have, are one Update each.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/gorilla/mux"
	"go.etcd.io/bbolt"
)

var bucket = []byte("AccountBucket")

type account struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type service struct {
	db   *bbolt.DB
	last atomic.Int64 // id that was given
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "host:port to listen on")
	path := flag.String("db", "accounts.db", "database file")
	flag.Parse()
	db, err := bbolt.Open(*path, 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	s := &service{db: db}
	for i := range 100 {
		if err := s.put(account{strconv.Itoa(10000 + i), fmt.Sprint("Person_", i)}); err != nil {
			log.Fatal(err)
		}
	}
	s.last.Store(20000)
	r := mux.NewRouter()
	r.HandleFunc("/accounts/{accountId}", s.get).Methods("GET")
	r.HandleFunc("/accounts", s.create).Methods("POST")
	r.HandleFunc("/health", s.health).Methods("GET")
	log.Fatal(http.ListenAndServe(*addr, r))
}

func (s *service) put(a account) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		return b.Put([]byte(a.ID), text)
	})
}

func (s *service) get(w http.ResponseWriter, r *http.Request) {
	var a account
	err := s.db.View(func(tx *bbolt.Tx) error {
		id := mux.Vars(r)["accountId"]
		text := tx.Bucket(bucket).Get([]byte(id))
		if text == nil {
			return fmt.Errorf("no account found for %s", id)
		}
		return json.Unmarshal(text, &a)
	})
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, a)
}

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	var a account
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.ID = strconv.FormatInt(s.last.Add(1), 10)
	if err := s.put(a); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusCreated, a)
}

func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"UP"})
}

func answer(w http.ResponseWriter, status int, v any) {
	text, _ := json.Marshal(v)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	w.Write(text)
}
