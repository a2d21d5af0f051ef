// Command services simulates the three services of the workflow travel, and prints the requests.
package main

import (
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
	fail := flag.String("fail", "", "service that has nothing left and says 409: flights, hotels or cars")
	slow := flag.Duration("slow", 0, "how long each answer takes: time to kill the engine in")
	flag.Parse()
	log.SetFlags(log.Ltime)
	s := &services{fail: *fail, slow: *slow, booked: map[string]bool{}}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("flights, hotels and cars listen on http://%s", l.Addr())
	log.Fatal(http.Serve(l, s.handler()))
}

// services keep bookings in memory under their paths, so booking twice is booking once.
type services struct {
	fail string
	slow time.Duration

	mu     sync.Mutex
	booked map[string]bool // by path
}

func (s *services) handler() http.Handler {
	m := http.NewServeMux()
	for _, service := range []string{"flights", "hotels", "cars"} {
		m.HandleFunc("PUT /"+service+"/{id}", func(w http.ResponseWriter, r *http.Request) { s.book(w, r, service) })
		m.HandleFunc("DELETE /"+service+"/{id}", func(w http.ResponseWriter, r *http.Request) { s.cancel(w, r, service) })
	}
	return m
}

func (s *services) book(w http.ResponseWriter, r *http.Request, service string) {
	id := r.PathValue("id")
	if service == s.fail {
		log.Printf("PUT /%s/%q: nothing left", service, id)
		http.Error(w, "no "+service+" left", http.StatusConflict)
		return
	}
	s.mu.Lock()
	again := s.booked[r.URL.Path]
	s.booked[r.URL.Path] = true
	s.mu.Unlock()
	log.Printf("PUT /%s/%q: booked%s", service, id, map[bool]string{true: ", as before"}[again])
	time.Sleep(s.slow)
	fmt.Fprintf(w, "%s of %s", service, id)
}

func (s *services) cancel(w http.ResponseWriter, r *http.Request, service string) {
	s.mu.Lock()
	found := s.booked[r.URL.Path]
	delete(s.booked, r.URL.Path)
	s.mu.Unlock()
	log.Printf("DELETE /%s/%q", service, r.PathValue("id"))
	if !found {
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
