package peer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options configures a Peer. All but Log are required.
type Options struct {
	Store    *store.Store // which says who the nodes are, and what they own
	Self     string       // id of this node
	Key      *Key         // whose fingerprint is in the row of this node
	Listener net.Listener // at the address that is in the row of this node; it belongs to the Peer
	Log      *slog.Logger
}

// Service is what a node does for others.
type Service struct {
	// Engine carries out requests of other engines. It answers flawless.Elsewhere if this node does not own what a request
	// is for.
	Engine interface {
		Serve(ctx context.Context, op string, request []byte) ([]byte, error)
	}
	API http.Handler // answers requests of clients that other nodes pass on; nil answers none
}

// Peer is this node as others see it, and its connections to them. All methods may be called concurrently.
type Peer struct {
	self    string
	log     *slog.Logger
	known   *directory
	links   *links
	http    *http.Server
	service atomic.Pointer[Service]
	done    chan struct{} // closed when nothing is served any more
}

// New begins to listen to other nodes. Until Serve is called, it answers that this node owns nothing.
func New(o Options) *Peer {
	p := &Peer{self: o.Self, log: o.Log, links: newLinks(o.Key), done: make(chan struct{})}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.known = newDirectory(o.Store, func(r *rows) { p.links.keep(r.nodes) })
	own, unknown := pings, &strangers{log: p.log}
	p.http = &http.Server{
		Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols), HTTP2: &own,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug), ConnState: unknown.state,
		TLSConfig: o.Key.config(func(fingerprint string) error {
			_, err := p.known.trusts(context.Background(), fingerprint)
			if isStranger(err) {
				unknown.refuse()
			}
			return err
		}),
	}
	p.http.Protocols.SetHTTP2(true)
	go func() {
		defer close(p.done)
		if err := p.http.ServeTLS(o.Listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("serving other nodes failed", "error", err)
		}
	}()
	return p
}

// Serve makes this node do work for others.
func (p *Peer) Serve(s Service) { p.service.Store(&s) }

// Close ends the connections in both directions. Requests of others are waited for until ctx ends.
func (p *Peer) Close(ctx context.Context) error {
	err := p.http.Shutdown(ctx)
	if err != nil {
		_ = p.http.Close()
	}
	p.links.close()
	<-p.done
	return err
}

const (
	askPath = "/ask/" // and the name of the operation; everything else is the API

	codeHeader  = "Flawless-Code"  // class of the error that the body of an answer describes
	ownerHeader = "Flawless-Owner" // with 421: the node that owns the shard, as far as the node knows that was asked
	epochHeader = "Flawless-Epoch" // with 421: since which epoch
	shardHeader = "Flawless-Shard"
)

// Limits of what engines ask each other.
const (
	maxAsk  = 96 << 20 // bytes of a request or an answer
	askTime = time.Minute
)

// Ask has the engine that owns a shard carry out a request, and returns the answer, see [engine.Peers]. It takes a minute at
// most. If no answer comes, the error is flawless.Elsewhere, and it is unknown whether the request was carried out.
func (p *Peer) Ask(ctx context.Context, sh store.Shard, op string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	owner, err := p.Owner(ctx, sh)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		answer, err := p.ask(ctx, owner, sh, op, request)
		if tries == 2 || !errors.Is(err, flawless.Elsewhere) {
			return answer, err
		}
		next, e := p.NextOwner(ctx, owner)
		if e != nil || next.Node.ID == owner.Node.ID || errors.Is(err, errUnknown) {
			return nil, err
		}
		owner = next
	}
}

// errUnknown is wrapped by the errors of requests that may have been carried out.
var errUnknown = errors.New("it is unknown whether the request was carried out")

func (p *Peer) ask(ctx context.Context, to Owner, sh store.Shard, op string, request []byte) ([]byte, error) {
	if to.Node.ID == p.self {
		return nil, &store.ElsewhereError{Shard: sh}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.Node.Address+askPath+url.PathEscape(op), bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("asking node %s: %w: %w", to.Node.Name, err, flawless.Elsewhere)
	}
	r.Header.Set(shardHeader, strconv.Itoa(int(sh)))
	res, err := p.links.roundTrip(to.Node, r)
	if errors.Is(err, ErrUnsent) {
		return nil, fmt.Errorf("%w: %w", err, &store.ElsewhereError{Shard: sh})
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", err, errUnknown, &store.ElsewhereError{Shard: sh})
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAsk+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of node %s: %w: %w: %w", to.Node.Name, err, errUnknown, &store.ElsewhereError{Shard: sh})
	case len(answer) > maxAsk:
		return nil, fmt.Errorf("the answer of node %s has more than %d bytes: %w", to.Node.Name, maxAsk, flawless.TooLarge)
	case res.StatusCode == http.StatusOK:
		return answer, nil
	}
	e := &Error{Code: flawless.Code(res.Header.Get(codeHeader)), Message: string(answer)}
	if res.StatusCode == http.StatusMisdirectedRequest {
		p.learn(sh, res.Header)
		return nil, fmt.Errorf("%w: %w", e, &store.ElsewhereError{Shard: sh})
	}
	return nil, e
}

// Error is an error of another node.
type Error struct {
	Code    flawless.Code // "" is an internal error
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return cmp.Or(e.Message, string(e.Code)) }

// Unwrap returns the code.
func (e *Error) Unwrap() error {
	if e.Code == "" {
		return nil
	}
	return e.Code
}

// Owner is the node that owns a shard.
type Owner struct {
	Shard store.Shard
	Node  flawless.Node // without ID if no living node owns it
	Epoch uint64
	Here  bool      // it is this node
	at    time.Time // of the map that says so
}

// Owner returns the owner of a shard, as it was a short time ago. Its error is flawless.Elsewhere if no living node owns the
// shard, or the store cannot be read.
func (p *Peer) Owner(ctx context.Context, sh store.Shard) (Owner, error) {
	return p.owner(ctx, sh, time.Now().Add(-fresh))
}

// NextOwner returns the owner of a shard after an earlier answer was wrong.
func (p *Peer) NextOwner(ctx context.Context, wrong Owner) (Owner, error) {
	return p.owner(ctx, wrong.Shard, wrong.at.Add(1))
}

func (p *Peer) owner(ctx context.Context, sh store.Shard, after time.Time) (Owner, error) {
	r, err := p.known.get(ctx, after)
	if err == nil && r.nodes[r.holders[sh].Node].ID == "" { // somebody is about to claim it
		r, err = p.known.get(ctx, time.Now().Add(-fresh/20))
	}
	if err != nil {
		return Owner{}, fmt.Errorf("looking for the owner of shard %d: %w: %w", sh, err, &store.ElsewhereError{Shard: sh})
	}
	h := r.holders[sh]
	o := Owner{Shard: sh, Node: r.nodes[h.Node], Epoch: h.Epoch, Here: h.Node == p.self, at: r.at}
	if o.Node.ID == "" {
		return o, &ownerless{store.ElsewhereError{Shard: sh}}
	}
	return o, nil
}

// ownerless says that no living node owns a shard.
type ownerless struct{ of store.ElsewhereError }

func (o *ownerless) Error() string {
	return fmt.Sprintf("no node owns shard %d at the moment: %v", o.of.Shard, flawless.Elsewhere)
}

func (o *ownerless) Unwrap() error { return &o.of }

// learn takes over from a node that was asked wrongly what it knows about the shard, if that is newer.
func (p *Peer) learn(sh store.Shard, h http.Header) {
	epoch, err := strconv.ParseUint(h.Get(epochHeader), 10, 64)
	old := p.known.now.Load()
	if err != nil || old == nil || epoch <= old.holders[sh].Epoch {
		return
	}
	if _, known := old.nodes[h.Get(ownerHeader)]; !known {
		return // the next reading finds it
	}
	next := *old
	next.at = old.at.Add(1)
	next.holders[sh] = store.Holder{Node: h.Get(ownerHeader), Epoch: epoch}
	p.known.now.CompareAndSwap(old, &next)
}

// Others returns the living nodes but this one, in no order, as they were a short time ago.
func (p *Peer) Others(ctx context.Context) ([]flawless.Node, error) {
	r, err := p.known.current(ctx)
	if err != nil {
		return nil, err
	}
	var others []flawless.Node
	for id, n := range r.nodes {
		if id != p.self {
			others = append(others, n)
		}
	}
	return others, nil
}

// Send sends a request for the API to a node, once, whatever its URL says. The error is ErrUnsent if the node has not seen
// it; with any other error it may have been carried out.
func (p *Peer) Send(n flawless.Node, r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "https", n.Address
	res, err := p.links.roundTrip(n, r)
	if err != nil || res.Header.Get(codeHeader) == "" {
		return res, err
	}
	// The word of the peer, not of its API, which has not seen the request. It is not for the client.
	_ = res.Body.Close()
	if res.StatusCode == http.StatusForbidden {
		return nil, fmt.Errorf("node %s does not count this one among the living: %w", n.Name, ErrUnsent)
	}
	return nil, fmt.Errorf("node %s has not started yet: %w", n.Name, ErrUnsent)
}

// serve answers a request of another node. Its certificate was checked when it connected; it may have died since.
func (p *Peer) serve(w http.ResponseWriter, r *http.Request) {
	ctx, s := r.Context(), p.service.Load()
	if _, err := p.known.trusts(ctx, fingerprint(r.TLS.PeerCertificates[0].Raw)); err != nil {
		w.Header().Set("Connection", "close") // a GOAWAY: the other side is a node no longer
		fail(w, http.StatusForbidden, err)
		return
	}
	sh, _ := strconv.ParseUint(r.Header.Get(shardHeader), 10, 16)
	if len(r.URL.Path) <= len(askPath) || r.URL.Path[:len(askPath)] != askPath {
		if s == nil || s.API == nil {
			p.misdirected(w, store.Shard(sh), fmt.Errorf("this node has not started yet: %w", flawless.Elsewhere))
			return
		}
		s.API.ServeHTTP(&told{ResponseWriter: w, peer: p, shard: store.Shard(sh)}, r)
		return
	}
	if s == nil {
		p.misdirected(w, store.Shard(sh), fmt.Errorf("this node has not started yet: %w", flawless.Elsewhere))
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("reading the request: %w: %w", err, flawless.Invalid))
		return
	}
	answer, err := s.Engine.Serve(ctx, r.URL.Path[len(askPath):], request)
	switch {
	case errors.Is(err, flawless.Elsewhere):
		p.misdirected(w, store.Shard(sh), err)
	case err != nil:
		fail(w, http.StatusUnprocessableEntity, err)
	default:
		_, _ = w.Write(answer)
	}
}

// told adds to an answer with status 421 what this node knows about the owner of the shard.
type told struct {
	http.ResponseWriter
	peer  *Peer
	shard store.Shard
}

// Unwrap is for [http.ResponseController].
func (t *told) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (t *told) WriteHeader(status int) {
	if status == http.StatusMisdirectedRequest {
		t.peer.tell(t.ResponseWriter, t.shard)
	}
	t.ResponseWriter.WriteHeader(status)
}

func (p *Peer) misdirected(w http.ResponseWriter, sh store.Shard, err error) {
	p.tell(w, sh)
	fail(w, http.StatusMisdirectedRequest, err)
}

func (p *Peer) tell(w http.ResponseWriter, sh store.Shard) {
	if r := p.known.now.Load(); r != nil && sh <= store.ShardOfCaps {
		w.Header().Set(ownerHeader, r.holders[sh].Node)
		w.Header().Set(epochHeader, strconv.FormatUint(r.holders[sh].Epoch, 10))
	}
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set(codeHeader, string(flawless.CodeOf(err)))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, err.Error())
}
