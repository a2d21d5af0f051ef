//go:build unix

package main

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// outside is the world that runs act upon. It counts requests by path.
type outside struct {
	slow func() time.Duration // how long the answer to a request takes

	mu   sync.Mutex
	seen map[string]int
}

func newOutside(slow func() time.Duration) *outside {
	return &outside{slow: slow, seen: map[string]int{}}
}

// ServeHTTP takes effect at once, and answers later.
func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.seen[r.URL.Path]++
	o.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/lose/") { // the answer is lost
		panic(http.ErrAbortHandler)
	}
	time.Sleep(o.slow())
	w.WriteHeader(http.StatusNoContent)
}

// count returns how many requests there were for a path.
func (o *outside) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[path]
}
