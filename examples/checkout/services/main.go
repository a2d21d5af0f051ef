// Command services simulates the three services of the workflow checkout, and prints the requests.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	fail := flag.String("fail", "", "service that refuses every order with 409: stock, charges or shipments")
	slow := flag.Duration("slow", 0, "how long each answer takes: time to kill the engine in")
	flag.Parse()
	log.SetFlags(log.Ltime)
	s := &services{fail: *fail, slow: *slow, made: map[string]string{}, there: map[string]bool{}}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("stock, charges and shipments listen on http://%s", l.Addr())
	log.Fatal(http.Serve(l, s.handler()))
}

// services keep orders in memory. A second request with the same Idempotency-Key changes nothing and gets the first
// response.
type services struct {
	fail string
	slow time.Duration

	mu    sync.Mutex
	made  map[string]string // id by service and idempotency key
	there map[string]bool   // by path
}

func (s *services) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /{service}", s.create)
	m.HandleFunc("DELETE /{service}/{id}", s.undo)
	return m
}

func (s *services) create(w http.ResponseWriter, r *http.Request) {
	service, key := r.PathValue("service"), r.Header.Get("Idempotency-Key")
	switch service {
	case "stock", "charges", "shipments":
	default:
		http.NotFound(w, r)
		return
	}
	if service == s.fail {
		log.Printf("POST /%s: refused", service)
		http.Error(w, "no "+service+" today", http.StatusConflict)
		return
	}
	s.mu.Lock()
	id, again := s.made[service+" "+key]
	if !again {
		id = fmt.Sprintf("%s-%d", service, len(s.made)+1)
		s.made[service+" "+key] = id
		s.there["/"+service+"/"+id] = true
	}
	s.mu.Unlock()
	log.Printf("POST /%s: %s%s", service, id, map[bool]string{true: ", as before"}[again])
	time.Sleep(s.slow)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id})
}

func (s *services) undo(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	found := s.there[r.URL.Path]
	delete(s.there, r.URL.Path)
	s.mu.Unlock()
	log.Printf("DELETE %q", r.URL.Path)
	if !found {
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
