// Package shop simulates the services that the checkout of the demos uses: stock, payment and shipping. It counts what it
// is asked for.
package shop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Shop simulates the three services, and counts requests by path and order. It is an [http.Handler], and all methods may be
// called concurrently.
type Shop struct {
	// Slow is how long each request takes.
	Slow time.Duration

	mu      sync.Mutex
	seen    map[string]int
	charges map[string]string
	paused  *Pause
}

// Pause is a charge that waits.
type Pause struct {
	Arrived chan struct{} // closed when the charge has taken effect
	Open    chan struct{} // close it to answer the charge
}

// New returns a Shop that nobody has asked for anything.
func New() *Shop { return &Shop{seen: map[string]int{}, charges: map[string]string{}} }

// Hold makes the next charge wait after it has taken effect, before its response.
func (s *Shop) Hold() *Pause {
	g := &Pause{make(chan struct{}), make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = g
	return g
}

// Count returns how many requests for a path, such as /charges, there were for an order.
func (s *Shop) Count(path, order string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[path+" "+order]
}

// Created returns the id of what was created last for a path and an order, "" if nothing was.
func (s *Shop) Created(path, order string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.charges[path+" "+order]
}

// ServeHTTP creates what the request is for. It takes effect at once, and is answered after Slow.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var order struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	what := r.URL.Path + " " + order.ID
	s.mu.Lock()
	s.seen[what]++
	id := strings.TrimPrefix(r.URL.Path, "/") + "-" + strconv.Itoa(len(s.seen))
	s.charges[what] = id
	var g *Pause
	if r.URL.Path == "/charges" {
		g, s.paused = s.paused, nil
	}
	s.mu.Unlock()
	if g != nil {
		close(g.Arrived)
		<-g.Open
	}
	time.Sleep(s.Slow)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"id":%q}`, id)
}
