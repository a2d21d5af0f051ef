package daemon

import (
	"fmt"

	"github.com/flawless-engine/flawless"
)

// descriptors divides the open files that the process may have. Clients and calls get fixed shares, so that
// they can never use up what the store needs.
type descriptors struct {
	limit   int // of the process; 0 is unknown, then nothing is limited
	store   int // for tables and the log of the store
	clients int // for TCP connections of clients; more are refused
	calls   int // for outgoing connections of runs; more wait
}

const (
	// minDescriptors is the minimum for a server: with less, the store would wait for itself.
	minDescriptors = 128
	// storeDescriptors is the minimum for a store: Pebble keeps at least 64 tables open.
	storeDescriptors = 74
)

// share divides limit. The remainder is for listeners, modules and files that are open briefly.
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
