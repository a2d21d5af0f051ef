package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// DefaultTTL is how long a lease lasts without renewal.
const DefaultTTL = 10 * time.Second

// Options configures a Member.
type Options struct {
	Store   *store.Store // over connections that nothing else uses, so that renewals wait for nobody
	Name    string
	Address string
	// Fingerprint is that of the certificate that this node shows to others, see package peer.
	Fingerprint string
	Sessions    []string             // see flawless.Node
	TTL         time.Duration        // 0 is DefaultTTL
	Now         func() time.Duration // time since the machine started, sleep included; nil asks the system
	Log         *slog.Logger
	// Ring is the id of the file in which this node remembers its calls; "" is none. Branch names the history of the database
	// in which its writes are; nil if the database has no such names.
	Ring   string
	Branch func() string
	// Seen is called with what each renewal has seen, never twice at once. It may take long: renewals go on meanwhile, and
	// what they see in between is skipped.
	Seen func(ctx context.Context, v View)
	// Figures adds what the node does to its row before a renewal; nil adds nothing.
	Figures func(n *flawless.Node)
}

// View is what a node has seen of the cluster.
type View struct {
	Living []flawless.Node // those that are not dead, this node included, sorted by id
	Silent []flawless.Node // those among them that have not renewed their lease for so long that this node may take over
	Dead   []flawless.Node // those that were called dead so long ago that their rows are of no use
	// Ages has for each node how long this node has not seen it renew its lease; Renewed those that it has seen do so.
	Ages    map[string]time.Duration
	Renewed map[string]bool
}

// Member is this process as a node of the cluster. All methods may be called concurrently.
type Member struct {
	o        Options
	deadline atomic.Int64  // time since the start of the machine, in nanoseconds; 0 before it has joined
	lost     atomic.Bool   // it is no node any more
	over     chan struct{} // closed when lost is set
	end      sync.Once
	poked    chan struct{} // has an item when the lease is to be renewed now

	mu       sync.Mutex    // guards the fields below, held during renewals
	node     flawless.Node // its row, as far as this node knows
	keys     []string      // ids of the keys of its secrets
	draining bool          // it has decided so itself
	detector detector
	changes  uint64 // of the database server, as of the last renewal

	waiting sync.Mutex    // guards renewed
	renewed chan struct{} // closed at the next renewal
}

// New returns a Member that has not joined.
func New(o Options) *Member {
	o.TTL = cmp.Or(o.TTL, DefaultTTL)
	if o.Now == nil {
		o.Now = sinceBoot
	}
	return &Member{
		o:        o,
		over:     make(chan struct{}),
		poked:    make(chan struct{}, 1),
		node:     flawless.Node{ID: "nod_" + rand.Text(), Name: o.Name, Address: o.Address, Version: flawless.Version, Fingerprint: o.Fingerprint, Ring: o.Ring, Sessions: o.Sessions},
		detector: detector{silence: o.TTL + o.TTL/(2*margin), gap: o.TTL / renewals},
		renewed:  make(chan struct{}),
	}
}

// margin is the part of the TTL by which a lease ends earlier for its owner. For others it ends half of that later.
const margin = 10

// renewals is how many renewals there are within a TTL, and looks how many looks at the other nodes. A look is one small
// read: the time between two of them is what a takeover waits for in vain.
const (
	renewals = 3
	looks    = 30
)

// Node returns this node.
func (m *Member) Node() flawless.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node
}

// SetKeys sets the ids of the keys of the node's secrets, which its row has from the next write on.
func (m *Member) SetKeys(ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node.Keys, m.keys = ids, ids
}

// Valid reports whether the lease is valid: this node may write and start calls. It takes well below a microsecond.
func (m *Member) Valid() bool {
	return !m.lost.Load() && int64(m.o.Now()) < m.deadline.Load()
}

// Deadline returns when the lease ends unless it is renewed, as a time since the machine started.
func (m *Member) Deadline() time.Duration { return time.Duration(m.deadline.Load()) }

// Await waits until the lease is valid. It returns the error of ctx when that ends, and flawless.Fenced when the lease can
// never be valid again.
func (m *Member) Await(ctx context.Context) error {
	for {
		m.waiting.Lock()
		renewed := m.renewed
		m.waiting.Unlock()
		if m.lost.Load() {
			return fmt.Errorf("this server is no node of the cluster any more: %w", flawless.Fenced)
		}
		if m.Valid() {
			return nil
		}
		select {
		case <-renewed:
		case <-m.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Abandon gives the lease up at once, without telling the database. Nobody waits for it any more.
func (m *Member) Abandon() {
	m.lost.Store(true)
	m.end.Do(func() { close(m.over) })
}

// Join makes this process a node. After a crash in the middle, or an error, the row may exist; others call it dead
// when the TTL is over, like that of any node that has crashed.
func (m *Member) Join(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node.Branch = m.branch()
	sent := m.o.Now()
	if err := m.o.Store.PutNode(ctx, nil, &m.node); err != nil {
		return fmt.Errorf("joining the cluster: %w", err)
	}
	m.extend(sent)
	return nil
}

// branch returns the history of the database in which the writes of this node are. It is asked before the renewal is sent:
// what the row says has to be true when it is read.
func (m *Member) branch() string {
	if m.o.Branch == nil {
		return ""
	}
	return m.o.Branch()
}

// extend ends the lease a TTL after the renewal was sent, less the margin: others count from when they first see it.
func (m *Member) extend(sent time.Duration) {
	m.deadline.Store(int64(sent + m.o.TTL - m.o.TTL/margin))
	m.waiting.Lock()
	defer m.waiting.Unlock()
	close(m.renewed)
	m.renewed = make(chan struct{})
}

// Serve renews the lease and watches the other nodes until ctx ends, or this node was called dead: it then returns an error
// that wraps flawless.Fenced, and the process may join again as another Member. When Serve returns, the lease is over.
func (m *Member) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	views := make(chan View, 1)
	var seeing sync.WaitGroup
	seeing.Go(func() {
		for v := range views {
			m.o.Seen(ctx, v)
		}
	})
	defer seeing.Wait()
	defer close(views)
	defer m.Abandon() // before waiting for Seen, which may wait for the lease
	defer cancel()
	see := func(v View) {
		select {
		case <-views: // an older one that was not looked at
		default:
		}
		views <- v
	}
	failing := false
	renewal := time.NewTimer(m.o.TTL / renewals)
	defer renewal.Stop()
	look := time.NewTicker(m.o.TTL / looks)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			// What fails here is repeated soon, and a renewal reports it. Only what is to be done at once is passed on.
			if v, err := m.look(ctx); m.lost.Load() {
				return err
			} else if err == nil && len(v.Silent) > 0 {
				see(v)
			}
			continue
		case <-m.poked:
		case <-renewal.C:
		}
		again := m.o.TTL / renewals
		switch v, err := m.renew(ctx); {
		case m.lost.Load():
			return err
		case err != nil && ctx.Err() == nil:
			if !failing { // once, however long it lasts
				m.o.Log.Error("renewing the lease of this node failed, will retry", "error", err, "lease_ends_in", m.Deadline()-m.o.Now())
			}
			failing = true
			again = m.o.TTL / looks // the lease is running out
		case err == nil:
			if failing {
				m.o.Log.Info("renewed the lease of this node again")
			}
			failing = false
			see(v)
		}
		renewal.Reset(again)
	}
}

// look reads the rows of the nodes once. It takes a part of the margin at most, so that the next renewal is not late.
func (m *Member) look(ctx context.Context) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.TTL/(2*margin))
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	_, v, err := m.read(ctx)
	return v, err
}

// read reads the rows of the nodes, and returns that of this node and what it has seen.
func (m *Member) read(ctx context.Context) (self flawless.Node, v View, err error) {
	asked := m.o.Now()
	nodes, err := m.o.Store.Nodes(ctx)
	if err != nil {
		return self, v, fmt.Errorf("reading the nodes: %w", err)
	}
	returned := m.o.Now()
	i := slices.IndexFunc(nodes, func(n flawless.Node) bool { return n.ID == m.node.ID })
	if i < 0 || nodes[i].Dead {
		m.Abandon()
		return self, v, fmt.Errorf("node %s (%s) did not renew its lease for %s, and another node has taken over its runs: %w", m.node.Name, m.node.ID, m.o.TTL, flawless.Fenced)
	}
	// A number that has not changed counts only from what the same database server has shown.
	if now := m.o.Store.Moves(); now != m.changes {
		m.changes = now
		m.detector.restart()
	}
	self = nodes[i]
	v = m.detector.observe(asked, returned, nodes)
	v.Living = slices.DeleteFunc(nodes, func(n flawless.Node) bool { return n.Dead })
	v.Silent = slices.DeleteFunc(v.Silent, func(n flawless.Node) bool { return n.ID == self.ID })
	return self, v, nil
}

// renew renews the lease once, and looks for nodes that have stopped.
//
// A lease that has run out is renewed like any other if nobody has taken over in the meantime: nobody else has acted on the
// shards.
func (m *Member) renew(ctx context.Context) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, m.o.TTL/renewals)
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	self, v, err := m.read(ctx)
	if err != nil {
		return View{}, err
	}
	// The number in the row may be one that this node sent without learning that it was written. When that was sent is not
	// known any more, so it extends nothing.
	after := self
	after.Beat++
	after.Keys, after.Branch = m.keys, m.branch()
	after.Draining = after.Draining || m.draining
	if m.o.Figures != nil {
		m.o.Figures(&after)
	}
	sent := m.o.Now()
	if err := m.o.Store.PutNode(ctx, &self, &after); err != nil {
		return View{}, fmt.Errorf("renewing the lease: %w", err)
	}
	m.node = after
	m.extend(sent)
	if i := slices.IndexFunc(v.Living, func(n flawless.Node) bool { return n.ID == after.ID }); i >= 0 {
		v.Living[i] = after
	}
	return v, nil
}

// Drain makes this node give its shards away, and get no others, from the next renewal on, which is at once.
func (m *Member) Drain() {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// Leave removes the row of a node that owns no shards any more.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Abandon()
	for {
		err := m.o.Store.PutNode(ctx, &m.node, nil)
		if !errors.Is(err, flawless.Fenced) {
			return leaving(err)
		}
		nodes, err := m.o.Store.Nodes(ctx) // another node has asked it to drain, or called it dead
		if err != nil {
			return leaving(err)
		}
		i := slices.IndexFunc(nodes, func(n flawless.Node) bool { return n.ID == m.node.ID })
		if i < 0 {
			return nil
		}
		m.node = nodes[i]
	}
}

func leaving(err error) error {
	if err != nil {
		return fmt.Errorf("leaving the cluster: %w", err)
	}
	return nil
}
