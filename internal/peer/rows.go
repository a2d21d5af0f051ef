package peer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// rows is what the store said about nodes and shards at one moment. It does not change.
type rows struct {
	at      time.Time // before it was read
	holders [store.Shards + 1]store.Holder
	nodes   map[string]flawless.Node // the living ones by id
	trusted map[string]string        // their ids by fingerprint
}

// Times of the map of nodes and shards.
const (
	fresh   = 2 * time.Second // a map that is older is read again before it is used
	reading = 5 * time.Second // how long the store may take to answer
	again   = time.Second     // how long an old map is used after the store could not be read
)

// directory caches what the store says about nodes and shards. All methods may be called concurrently.
type directory struct {
	store   *store.Store
	changed func(*rows) // called with each map that was read

	now    atomic.Pointer[rows]
	failed atomic.Int64  // when the store could not be read last, in Unix nanoseconds
	turn   chan struct{} // held by the one who reads; the others wait for what he finds
}

func newDirectory(st *store.Store, changed func(*rows)) *directory {
	return &directory{store: st, changed: changed, turn: make(chan struct{}, 1)}
}

// get returns a map that was read after a time. If the store cannot be read, it returns an older one, if there is any: the
// node that is asked knows better.
func (d *directory) get(ctx context.Context, after time.Time) (*rows, error) {
	if r := d.now.Load(); r != nil && !r.at.Before(after) {
		return r, nil
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.turn }()
	old := d.now.Load()
	if old != nil && (!old.at.Before(after) || time.Since(time.Unix(0, d.failed.Load())) < again) {
		return old, nil
	}
	r, err := d.read(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.failed.Store(time.Now().UnixNano())
		}
		if old != nil {
			return old, nil
		}
		return nil, err
	}
	d.now.Store(r)
	d.changed(r)
	return r, nil
}

// current returns a map that is not older than a short time.
func (d *directory) current(ctx context.Context) (*rows, error) {
	return d.get(ctx, time.Now().Add(-fresh))
}

func (d *directory) read(ctx context.Context) (*rows, error) {
	ctx, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	r := &rows{at: time.Now(), nodes: map[string]flawless.Node{}, trusted: map[string]string{}}
	holders, err := d.store.Holders(ctx)
	if err != nil {
		return nil, err
	}
	r.holders = holders
	nodes, err := d.store.Nodes(ctx) // after the shards: a node writes its row before it claims
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.Dead {
			continue
		}
		r.nodes[n.ID] = n
		if n.Fingerprint != "" {
			r.trusted[n.Fingerprint] = n.ID
		}
	}
	return r, nil
}

// trusts returns the living node with a fingerprint. A node that has just joined is in no map yet, so an unknown one makes
// it look again, but not more often than a few times a second: anybody can try to connect.
func (d *directory) trusts(ctx context.Context, fingerprint string) (id string, err error) {
	asked := time.Now()
	r, err := d.current(ctx)
	if err != nil {
		return "", err
	}
	if id = r.trusted[fingerprint]; id == "" && r.at.Before(asked) {
		select {
		case <-time.After(time.Until(r.at.Add(fresh / 10))):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if r, err = d.get(ctx, asked); err != nil {
			return "", err
		}
		id = r.trusted[fingerprint]
	}
	if id == "" {
		return "", errStranger
	}
	return id, nil
}

var errStranger = fmt.Errorf("no living node in the database has this certificate: %w", flawless.Denied)

// isStranger reports whether an error says that the other side is no node.
func isStranger(err error) bool { return errors.Is(err, errStranger) }
