// Package rpc has the engines on one database carry out operations for each other.
//
// Requests and answers are encoded as in the store, so servers that write another format do not understand each other instead
// of misunderstanding. A request may arrive more than once, and after another owner has answered it: operations are
// idempotent. The package does not know what operations do, nor how a server is reached.
package rpc

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

// Patience is how long an owner waits for something that has not happened yet before it says so. An answer that takes twice
// as long is not waited for.
const Patience = 5 * time.Second

// Pause is how long an engine waits before it asks again, if the owner of a shard could not be asked.
const Pause = 200 * time.Millisecond

// Peers reaches the engines of other servers on the same database.
type Peers interface {
	// Ask has the engine that owns a shard carry out a request with [Endpoint.Serve], and returns the answer. Its errors keep
	// their code. With flawless.Elsewhere, or any other code that is not the owner's own word, it is unknown whether the
	// request was carried out: ask again.
	Ask(ctx context.Context, sh store.Shard, op string, request []byte) ([]byte, error)
}

// Endpoint is an engine as one of several: it asks the others, and serves them. All methods may be called concurrently, except
// Handle.
type Endpoint struct {
	peers  Peers // nil if there are no others
	codec  codec.Codec
	serves map[string]Handler
}

// Handler carries out an encoded request and returns the encoded answer.
type Handler func(ctx context.Context, request []byte) ([]byte, error)

// New returns an Endpoint that serves nothing yet. peers is nil for an engine that owns everything.
func New(peers Peers) (*Endpoint, error) {
	c, err := codec.New()
	return &Endpoint{peers: peers, codec: c, serves: map[string]Handler{}}, err
}

// Alone reports whether there are no other engines.
func (p *Endpoint) Alone() bool { return p.peers == nil }

// Handle has h carry out the requests for an operation. All are set before the first request is served.
func (p *Endpoint) Handle(op string, h Handler) { p.serves[op] = h }

// Serve carries out a request of another engine, and returns its answer. It returns flawless.Elsewhere if this engine does
// not own what the request is for, and never passes it on.
func (p *Endpoint) Serve(ctx context.Context, op string, request []byte) ([]byte, error) {
	h := p.serves[op]
	if h == nil {
		return nil, fmt.Errorf("there is no operation %q between servers; the servers have different versions: %w", op, flawless.Elsewhere)
	}
	return h(ctx, request)
}

// Op is the name of an operation that one engine carries out for another one.
type Op[In, Out any] string

// Nothing is the answer of an operation that only succeeds or fails.
type Nothing struct{}

// Ask has the owner of a shard carry out the operation. Errors that are not the owner's own word are flawless.Elsewhere.
func (o Op[In, Out]) Ask(ctx context.Context, p *Endpoint, sh store.Shard, in In) (out Out, err error) {
	if p.Alone() {
		return out, &store.ElsewhereError{Shard: sh}
	}
	var request bytes.Buffer
	if err := p.codec.Encode(&request, &in); err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*Patience)
	defer cancel()
	answer, err := p.peers.Ask(ctx, sh, string(o), request.Bytes())
	if err == nil {
		if err = p.codec.Decode(answer, &out); err != nil { // an answer of another version is not the owner's word that something is damaged
			return out, fmt.Errorf("reading the answer of the owner of shard %d: %w: %v", sh, &store.ElsewhereError{Shard: sh}, err)
		}
	}
	switch flawless.CodeOf(err) {
	case flawless.NotFound, flawless.Conflict, flawless.Invalid, flawless.Refused, flawless.TooLarge, flawless.Damaged, flawless.Elsewhere:
		return out, err
	}
	if err != nil {
		err = fmt.Errorf("asking the owner of shard %d: %w: %w", sh, &store.ElsewhereError{Shard: sh}, err)
	}
	return out, err
}

// Handle has f carry out the operation for other engines.
func (o Op[In, Out]) Handle(p *Endpoint, f func(ctx context.Context, in In) (Out, error)) {
	p.Handle(string(o), func(ctx context.Context, request []byte) ([]byte, error) { return o.serve(ctx, p, request, f) })
}

// serve decodes a request, carries it out and encodes the answer.
func (o Op[In, Out]) serve(ctx context.Context, p *Endpoint, request []byte, f func(ctx context.Context, in In) (Out, error)) ([]byte, error) {
	var in In
	if err := p.codec.Decode(request, &in); err != nil {
		return nil, fmt.Errorf("reading a request of another server: %w: %w", flawless.Elsewhere, err)
	}
	out, err := f(ctx, in)
	if err != nil {
		return nil, err
	}
	var answer bytes.Buffer
	err = p.codec.Encode(&answer, &out)
	return answer.Bytes(), err
}
