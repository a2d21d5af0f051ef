package main

import (
	"fmt"

	"github.com/flawless-engine/flawless"
)

// descriptors is how many files and connections a server keeps open, by who has them. They add up to what
// the process may open, so that the store never goes without because of many clients or calls.
type descriptors struct {
	limit   int // of the process; 0 is unknown, and nothing is limited
	store   int // tables that are open at once, and the log
	clients int // connections from clients over TCP; more are refused
	calls   int // connections of runs to the outside; more wait
}

const (
	// minDescriptors is what a server needs: below it the store would wait for itself.
	minDescriptors = 128
	// storeDescriptors is what a small store needs: Pebble keeps at least 64 tables open.
	storeDescriptors = 74
)

// share divides limit. What is left over is for listeners, modules and what is open for a moment.
func share(limit int) (descriptors, error) {
	if limit == 0 {
		return descriptors{}, nil
	}
	if limit < minDescriptors {
		return descriptors{}, fmt.Errorf("the limit of open files is %d, but the server needs %d; raise it with ulimit -n, LimitNOFILE= (systemd) or --ulimit nofile= (Docker): %w",
			limit, minDescriptors, flawless.Invalid)
	}
	d := descriptors{limit: limit, store: min(max(limit/4, storeDescriptors), 1000)}
	rest := limit - d.store - min(max(limit/8, 32), 128)
	d.clients = rest / 2
	d.calls = rest - d.clients
	return d, nil
}
