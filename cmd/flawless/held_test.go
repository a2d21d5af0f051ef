package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// held is an outside server that holds all requests until it is released, and counts them by path.
type held struct {
	*httptest.Server
	arrived chan struct{}
	gate    chan struct{}
	once    sync.Once
	mu      sync.Mutex
	seen    map[string]int
}

func newHeld() *held {
	h := &held{arrived: make(chan struct{}, 64), gate: make(chan struct{}), seen: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.mu.Lock()
		h.seen[r.URL.Path]++
		h.mu.Unlock()
		h.arrived <- struct{}{}
		select {
		case <-h.gate:
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "did it")
	}))
	return h
}

func (h *held) release() { h.once.Do(func() { close(h.gate) }) }

func (h *held) close() {
	h.release()
	h.Close()
}

// wait returns when n more requests have arrived.
func (h *held) wait(n int) error {
	late := time.After(30 * time.Second)
	for range n {
		select {
		case <-h.arrived:
		case <-late:
			return errors.New("timed out waiting for the request")
		}
	}
	return nil
}

type outsideKey struct{}

// outsideCommand is the command outside of scripts. It sets $URL, and
//
//	outside             sets nothing else
//	outside wait N      waits until N more requests have arrived
//	outside release     answers all requests, also later ones
//	outside saw PATH N  fails unless N requests for PATH have arrived
func outsideCommand(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value(outsideKey{}).(*held)
	switch {
	case len(args) == 0:
		ts.Setenv("URL", h.URL)
	case args[0] == "wait" && len(args) == 2:
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(h.wait(n))
	case args[0] == "release":
		h.release()
	case args[0] == "saw" && len(args) == 3:
		h.mu.Lock()
		defer h.mu.Unlock()
		if got := fmt.Sprint(h.seen[args[1]]); got != args[2] {
			ts.Fatalf("it saw %s %s times, not %s", args[1], got, args[2])
		}
	default:
		ts.Fatalf("outside: unknown arguments %q", args)
	}
}
