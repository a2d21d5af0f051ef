package main

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// lines collects the output of a process.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when there is more
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits for a text in the output.
func (l *lines) wait(t *testing.T, what string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		said, more := strings.Contains(l.text.String(), what), l.more
		l.mu.Unlock()
		if said {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("the output does not contain %q: %s", what, l)
		}
	}
}
