package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cluster"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/server"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres"
	"github.com/flawless-engine/flawless/internal/vault"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// DefaultLease is how long other nodes wait for one that does not answer, unless the options set another time.
const DefaultLease = cluster.DefaultTTL

// errReplaced is the error of a server whose shards another one has taken over, because it did not renew its lease. The
// process joins again, as another node.
var errReplaced = errors.New("another server has taken over")

// node is this server as one of several on a database. It implements [engine.Cluster].
//
//	join    its row is in the database, and its lease is renewed
//	claim   it has its first shards, or has seen that others live
//	begin   it takes over from others, gives up what they lack, and serves them
//	drain   it has given up its shards, and its row is gone
//	close   its connections are closed
type node struct {
	dir    string
	ring   *ring.Ring
	ttl    time.Duration
	out    func(format string, args ...any) // for what people see at the start
	log    *slog.Logger
	store  *store.Store // of the engine
	db     *postgres.DB // of the engine
	leases *postgres.DB // for nothing but the lease
	pulse  cluster.Pulse
	time   cluster.Time // of the engine

	secrets *vault.Vault
	cluster.Roster
	member      *cluster.Member
	peer        *peer.Peer
	keeper      *cluster.Keeper
	last        string         // id of the node that used this directory; "" is none, or it has left in order
	predecessor *flawless.Node // used this directory, and has ended for certain; nil if there is none
	stop        context.CancelFunc
	tasks       sync.WaitGroup
	lost        chan error // receives why it is no node any more

	api       []string  // addresses at which it serves clients, for its row; set before it joins
	cannotEnd sync.Once // tells that connections of other nodes cannot be ended

	acting   sync.Mutex // held while shards are moved
	engine   atomic.Pointer[engine.Engine]
	stopping atomic.Bool
	counted  struct { // for calls per second; used by renewals only
		at    time.Time
		calls int64
	}

	mu   sync.Mutex
	view cluster.View
	next chan struct{} // closed when there is a newer view
}

// openNode makes connections for the lease. calls is the ring of this server. sure says that no other server uses the working directory.
func (o *Options) openNode(ctx context.Context, db *postgres.DB, st *store.Store, calls *ring.Ring, sure bool, log *slog.Logger) (*node, error) {
	n := &node{dir: o.Dir, ring: calls, ttl: o.Lease, log: log, store: st, db: db, lost: make(chan error, 1), next: make(chan struct{}),
		out: func(format string, args ...any) { fmt.Fprintf(o.Out, format+"\n", args...) }}
	if n.ttl == 0 {
		n.ttl = DefaultLease
	}
	name, err := o.nodeName()
	if err != nil {
		return nil, err
	}
	n.leases, err = postgres.Open(ctx, o.Store, postgres.Options{Schema: o.Schema, Name: name + " lease", Lanes: 1, Readers: 2, Passing: true, Patience: n.ttl / 3, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	n.pulse = cluster.Pulse{Ask: n.ask, Changed: n.told, Every: time.Second, Limit: 2 * time.Second}
	err = n.prepare(ctx, o, name, sure)
	if err != nil {
		return nil, errors.Join(err, n.leases.Close())
	}
	return n, nil
}

// nodeName returns the name of this node.
func (o *Options) nodeName() (string, error) {
	name := o.Name
	if name == "" {
		name, _ = os.Hostname()
		name = strings.ToLower(name)
	}
	if err := flawless.CheckName("a node's name", name); err != nil {
		return "", fmt.Errorf("the name of this node is %.100q; give one with --name: %w", name, err)
	}
	return name, nil
}

// prepare listens for other nodes, and makes the member.
func (n *node) prepare(ctx context.Context, o *Options, name string, sure bool) error {
	st, err := store.Open(ctx, n.leases)
	if err != nil {
		return err
	}
	if err := n.findPredecessor(ctx, sure); err != nil {
		return err
	}
	l, address, err := o.listenForNodes(ctx, n.db.LocalHost())
	if err != nil {
		return err
	}
	key, err := peer.NewKey()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n.member = cluster.New(cluster.Options{Store: st, Name: name, Address: address, Fingerprint: key.Fingerprint(), Sessions: []string{n.db.Session(), n.leases.Session()}, TTL: n.ttl, Log: n.log, Ring: n.ring.ID(), Branch: n.db.Branch, Seen: n.seen, Figures: n.figures})
	n.store.RememberClaims(&store.Rivals{Memory: n.ring, Self: []string{n.member.Node().ID, n.last}})
	n.Roster = cluster.Roster{Store: n.store, Self: n.member.Node().ID, Seen: func() cluster.View { v, _ := n.views(); return v }}
	n.keeper = &cluster.Keeper{Store: n.store, Self: n.member.Node().ID, Log: n.log, EndSessions: n.endSessions}
	n.peer = peer.New(peer.Options{Store: n.store, Self: n.member.Node().ID, Key: key, Listener: l, Log: n.log})
	return nil
}

// findPredecessor finds the node that used the working directory before.
func (n *node) findPredecessor(ctx context.Context, sure bool) error {
	id, err := workdir.LastNode(n.dir)
	n.last = id
	if err != nil || id == "" || !sure {
		return err
	}
	all, err := n.store.Nodes(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(o flawless.Node) bool { return o.ID == id && !o.Dead }); i >= 0 {
		n.predecessor = &all[i]
	}
	return nil
}

// listenForNodes listens at the address for other nodes. local is the address of this machine towards the database.
func (o *Options) listenForNodes(ctx context.Context, local string) (net.Listener, string, error) {
	host, port := local, "0"
	if host == "" {
		host = "127.0.0.1"
	}
	bind := host
	if o.Advertise != "" {
		var err error
		if host, port, err = net.SplitHostPort(o.Advertise); err != nil || host == "" || strings.ContainsAny(host, "/ ") {
			return nil, "", fmt.Errorf("--advertise is %q; use the address at which other nodes reach this one, host:port, such as 10.0.0.7:27290: %w", o.Advertise, flawless.Invalid)
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			return nil, "", fmt.Errorf("--advertise is %q, at which no other machine reaches this one; use an address of it: %w", o.Advertise, flawless.Invalid)
		}
		if bind = ""; net.ParseIP(host).IsLoopback() || host == "localhost" {
			bind = host
		}
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(bind, port))
	if err != nil {
		return nil, "", fmt.Errorf("listening for other nodes at %s: %w; give another address with --advertise: %w", net.JoinHostPort(host, port), err, flawless.Invalid)
	}
	if _, port, err = net.SplitHostPort(l.Addr().String()); err != nil {
		return nil, "", errors.Join(err, l.Close())
	}
	return l, net.JoinHostPort(host, port), nil
}

// ask asks the database for an answer, see [cluster.Pulse].
func (n *node) ask(ctx context.Context) error {
	asked := time.Now()
	at, err := n.leases.Time(ctx)
	if err == nil {
		n.time.Observe(asked, time.Now(), at, n.log)
	}
	if lost := n.leases.Failed(); lost != nil {
		n.db.GiveUp(lost)
	}
	if err == nil && n.db.Away() {
		err = errors.New("connections for writing cannot be made yet")
	}
	return err
}

// told logs that the database is away, or back.
func (n *node) told(since time.Time, why string) {
	if since.IsZero() {
		n.log.Info("the database is back, and requests are answered again")
		return
	}
	n.log.Error("the database does not answer, so requests get 503 until it does", "error", why)
}

// join makes this server a node, with the secrets that all nodes share.
func (n *node) join(ctx context.Context, secrets *vault.Vault) error {
	self := n.member.Node()
	if err := secrets.Share(n.haveKey); err != nil {
		return err
	}
	if err := n.pulse.Check(ctx); err != nil { // the engine begins with the right time
		return fmt.Errorf("asking the database for its time: %w", err)
	}
	n.secrets = secrets
	n.member.SetKeys(secrets.Keys())
	if err := workdir.NoteNode(n.dir, self.ID); err != nil {
		return err
	}
	if err := n.member.Join(ctx); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.tasks.Go(func() {
		if err := n.member.Serve(serving); errors.Is(err, flawless.Fenced) {
			n.lost <- fmt.Errorf("%w: %w", err, errReplaced)
		}
	})
	n.tasks.Go(func() { n.pulse.Serve(serving) })
	n.log.Info("joined the cluster", "node", self.Name, "id", self.ID, "address", self.Address)
	return nil
}

// haveKey returns [flawless.Conflict] if other nodes lack a key of secrets: their runs could not use them.
func (n *node) haveKey(ctx context.Context, id string) error {
	all, err := n.store.Nodes(ctx)
	if err != nil {
		return err
	}
	var lack []string
	for _, other := range all {
		if !other.Dead && other.ID != n.member.Node().ID && !slices.Contains(other.Keys, id) {
			lack = append(lack, other.Name)
		}
	}
	if len(lack) > 0 {
		slices.Sort(lack)
		return fmt.Errorf("these nodes do not have the key %s: %s. All nodes need the same key: copy the file %s from the working directory of node %s into theirs, or set %s to the same value for all, and restart them one by one: %w",
			id, strings.Join(lack, ", "), vault.FileName, n.member.Node().Name, vault.Variable, flawless.Conflict)
	}
	return nil
}

// seen acts on what a renewal has seen.
func (n *node) seen(ctx context.Context, v cluster.View) {
	n.mu.Lock()
	n.view = v
	close(n.next)
	n.next = make(chan struct{})
	n.mu.Unlock()
	n.acting.Lock()
	defer n.acting.Unlock()
	if e := n.engine.Load(); e != nil && !n.stopping.Load() {
		n.keeper.See(ctx, v)
		if err := e.Refresh(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("reading what other nodes have changed failed, will retry", "error", err)
		}
		n.member.SetKeys(n.secrets.Keys())
	}
}

// figures notes in the row of the node what it does.
func (n *node) figures(row *flawless.Node) {
	row.API = n.api
	e := n.engine.Load()
	if e == nil {
		return
	}
	guests, calls := e.Load()
	now := time.Now()
	if past := now.Sub(n.counted.at).Seconds(); !n.counted.at.IsZero() && past > 0 {
		row.Calls = float64(int64(10*float64(calls-n.counted.calls)/past)) / 10
	}
	n.counted.at, n.counted.calls = now, calls
	row.Guests = guests
}

// serves notes at which addresses clients reach this node. A loopback address counts only if all nodes are on one machine,
// which others know it by: elsewhere, it is an address of another machine.
func (n *node) serves(addresses []string) {
	peers, _, _ := net.SplitHostPort(n.member.Node().Address)
	together := peers == "localhost" || net.ParseIP(peers).IsLoopback()
	for _, a := range addresses {
		if at, err := netip.ParseAddrPort(a); err == nil && (together || !at.Addr().IsLoopback()) {
			n.api = append(n.api, a)
		}
	}
}

// notNode returns why a run may not call an address: another node serves clients there. It is [listen.Listener.NotSelf] for
// the other nodes, as of the last renewal. n may be nil.
func (n *node) notNode(host string, to netip.AddrPort) error {
	if n == nil {
		return nil
	}
	v, _ := n.views()
	at := netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port()).String()
	for _, other := range v.Living {
		if slices.Contains(other.API, at) {
			return fmt.Errorf("%s is node %s of this cluster (%s), which runs may not call; to allow it, start the nodes with --allow-self-calls",
				net.JoinHostPort(host, strconv.Itoa(int(to.Port()))), other.Name, to)
		}
	}
	return nil
}

// views returns the newest view, and a channel that is closed when there is another one.
func (n *node) views() (cluster.View, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.view, n.next
}

// claim claims the first shards: those of its predecessor, and those that nobody owns. It waits until it has some or another
// node lives that can have them, and until no living node can have its name.
func (n *node) claim(ctx context.Context, s *store.Store, l *store.Lease) (shards []store.Shard, err error) {
	if p := n.predecessor; p != nil {
		n.endSessions(ctx, *p)
		shards, err = s.TakeOver(ctx, l, *p, true)
		if err != nil && !errors.Is(err, flawless.Fenced) { // else another node was faster
			return nil, err
		}
	}
	told := map[string]bool{}
	for {
		v, next := n.views()
		for _, silent := range v.Silent {
			n.endSessions(ctx, silent)
			took, err := s.TakeOver(ctx, l, silent, false)
			if err != nil && !errors.Is(err, flawless.Fenced) {
				return nil, err
			}
			if err == nil {
				n.out("took over from node %s", silent.Name)
			}
			shards = append(shards, took...)
		}
		free, err := s.ClaimFree(ctx, l, append(store.AllShards(), store.ShardOfCaps)...)
		if err != nil {
			return nil, err
		}
		shards = append(shards, free...)
		wait, err := n.waits(ctx, v, len(shards) > 0, told)
		if err != nil || !wait {
			return shards, err
		}
		select {
		case <-next:
		case err := <-n.lost:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// waits reports whether the first claim has to wait for other nodes, and says so. It returns [flawless.Conflict] if a
// living node has the name of this one.
func (n *node) waits(ctx context.Context, v cluster.View, has bool, told map[string]bool) (bool, error) {
	self := n.member.Node()
	all, err := n.store.Nodes(ctx)
	if err != nil {
		return false, err
	}
	others, unknown, named := false, 0, false
	for _, other := range all {
		if other.ID == self.ID || other.Dead {
			continue
		}
		lives := v.Renewed[other.ID]
		others = others || lives
		switch {
		case other.Name == self.Name && lives:
			return false, fmt.Errorf("node %s is running already, at %s: give each node on a database a name of its own with --name: %w", other.Name, other.Address, flawless.Conflict)
		case other.Name == self.Name:
			named = true
		case lives:
			continue
		}
		unknown++
		if age, ok := v.Ages[other.ID]; ok && age > n.ttl/2 && !told[other.ID] { // it would have renewed its lease
			told[other.ID] = true
			left := n.ttl + n.ttl/10 - age
			n.out("waiting for the lease of node %s (%s), which has ended or is cut off: up to %v", other.Name, other.ID, max(left, 0).Round(time.Second))
		}
	}
	return unknown > 0 && (named || !has && !others), nil
}

// begin lets the engine own shards, and answers other nodes.
func (n *node) begin(e *engine.Engine, api http.Handler) {
	n.acting.Lock()
	defer n.acting.Unlock()
	n.keeper.Owner = e
	n.engine.Store(e)
	n.peer.Serve(peer.Service{Engine: e, API: api})
}

// handlers returns the API for clients and for other nodes.
func (n *node) handlers(ctx context.Context, e *engine.Engine, log *slog.Logger) (clients, nodes http.Handler) {
	return server.HandlerOf(ctx, e, log, server.Cluster{Peer: n.peer, Patience: 2 * n.ttl})
}

// drain gives all shards up and leaves the cluster. Calls in flight are waited for until ctx ends. Requests go on to be passed
// on to the new owners.
func (n *node) drain(ctx context.Context) error {
	n.stopping.Store(true)
	n.member.Drain()
	n.acting.Lock() // what the last view asked for is done
	defer n.acting.Unlock()
	e := n.engine.Load()
	if e == nil {
		return nil
	}
	err := e.Release(ctx, append(store.AllShards(), store.ShardOfCaps)...)
	if kept := n.keeper.WaitFor(ctx); kept != nil && err == nil {
		err = kept
	}
	// Where its last writes have not been compared, its row stays: whoever takes over has to ask what is missing.
	if !n.away() && n.db.Failed() == nil && n.db.Branch() == n.leases.Branch() {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if left := n.member.Leave(brief); left != nil {
			return errors.Join(err, left)
		}
		return errors.Join(err, workdir.ForgetNode(n.dir))
	}
	return err
}

// endSessions ends the connections to the database of a node that has stopped. Without the right to do so, a takeover may
// have to wait for a transaction that hangs.
func (n *node) endSessions(ctx context.Context, of flawless.Node) {
	if len(of.Sessions) == 0 {
		return
	}
	if _, err := n.leases.EndSessions(ctx, of.Sessions...); err != nil && ctx.Err() == nil {
		n.cannotEnd.Do(func() {
			n.log.Warn("a takeover may have to wait for connections that hang: let all nodes use the same role, or grant pg_signal_backend to it", "error", err)
		})
	}
}

func (n *node) away() bool {
	since, _ := n.pulse.Away()
	return !since.IsZero()
}

// abandon ends all waiting for the database and for the lease.
func (n *node) abandon() {
	if n.member != nil {
		n.member.Abandon()
	}
	n.db.Abandon()
	n.leases.Abandon()
}

// replaced returns a channel that receives why this server is no node any more. A server without a database is none.
func (n *node) replaced() <-chan error {
	if n == nil {
		return nil
	}
	return n.lost
}

// withdraw removes the row of a node whose server did not start, so that nobody waits for its lease.
func (n *node) withdraw(ctx context.Context) error {
	if n == nil {
		return nil
	}
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := n.member.Leave(brief); err != nil {
		return err
	}
	return workdir.ForgetNode(n.dir)
}

// close ends the connections to the database and to other nodes.
func (n *node) close(ctx context.Context) error {
	n.member.Abandon()
	if n.stop != nil {
		n.stop()
	}
	n.tasks.Wait()
	n.keeper.Wait()
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := n.peer.Close(brief); err != nil {
		n.log.Debug("closing the connections to other nodes", "error", err)
	}
	return n.leases.Close()
}

// Away implements [engine.Cluster].
func (n *node) Away() (since time.Time, why string) {
	since, why = n.pulse.Away()
	return since, why
}

// Ready implements [engine.Cluster].
func (n *node) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := n.pulse.Check(ctx); err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	e := n.engine.Load()
	v, _ := n.views()
	switch self := n.member.Node(); {
	case !n.member.Valid():
		return errors.New("the lease of this node has run out; it is about to be renewed")
	case n.stopping.Load() || self.Draining:
		return errors.New("this node gives its work to others (drain)")
	case e == nil || len(e.Shards()) == 0 && len(v.Renewed) < 2: // itself
		return errors.New("this node owns no shards yet, and knows no other node that does")
	}
	return nil
}
