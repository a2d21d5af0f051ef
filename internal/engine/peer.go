package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/store"
)

// Peers reaches the engines of other servers on the same database.
type Peers interface {
	// Ask has the engine that owns a shard carry out a request with [Engine.Serve], and returns the answer. Its errors keep
	// their code. With flawless.Elsewhere, or any other code that is not the owner's own word, it is unknown whether the
	// request was carried out: ask again.
	Ask(ctx context.Context, sh store.Shard, op string, request []byte) ([]byte, error)
}

// alone is the Peers of an engine that owns everything.
type alone struct{}

func (alone) Ask(_ context.Context, sh store.Shard, _ string, _ []byte) ([]byte, error) {
	return nil, &store.ElsewhereError{Shard: sh}
}

// peerOp is an operation that one engine carries out for another one. In and Out are encoded as in the store, so nodes that
// write another format do not understand each other instead of misunderstanding.
//
// A request may arrive more than once, and after another owner has answered it: operations are idempotent.
type peerOp[In, Out any] struct {
	name  string
	serve func(e *Engine, ctx context.Context, in In) (Out, error)
}

// ask has the owner of a shard carry out the operation. Errors that are not the owner's own word are flawless.Elsewhere.
func (o peerOp[In, Out]) ask(ctx context.Context, e *Engine, sh store.Shard, in In) (out Out, err error) {
	var request bytes.Buffer
	if err := e.codec.Encode(&request, &in); err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	answer, err := e.peers.Ask(ctx, sh, o.name, request.Bytes())
	if err == nil {
		err = e.codec.Decode(answer, &out)
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

// handle decodes a request, carries it out and encodes the answer.
func (o peerOp[In, Out]) handle(e *Engine, ctx context.Context, request []byte) ([]byte, error) {
	var in In
	if err := e.codec.Decode(request, &in); err != nil {
		return nil, fmt.Errorf("reading a request of another server: %w: %w", flawless.Elsewhere, err)
	}
	out, err := o.serve(e, ctx, in)
	if err != nil {
		return nil, err
	}
	var answer bytes.Buffer
	err = e.codec.Encode(&answer, &out)
	return answer.Bytes(), err
}

// askTime is how long an owner waits for something that has not happened yet before it says so. An answer that takes twice as
// long is not waited for.
const askTime = clock.Soon

// nothing is the answer of an operation that only succeeds or fails.
type nothing struct{}

// peerOps are the operations by name.
var peerOps = map[string]func(e *Engine, ctx context.Context, request []byte) ([]byte, error){
	opAwait.name:   opAwait.handle,
	sendOp.name:    sendOp.handle,
	endedOp.name:   endedOp.handle,
	visitOp.name:   visitOp.handle,
	leaveOp.name:   leaveOp.handle,
	holdsOp.name:   holdsOp.handle,
	queuesOp.name:  queuesOp.handle,
	lookOp.name:    lookOp.handle,
	breakOp.name:   breakOp.handle,
	opSeize.name:   opSeize.handle,
	opHoldOn.name:  opHoldOn.handle,
	opMove.name:    opMove.handle,
	opRelease.name: opRelease.handle,
	opStart.name:   opStart.handle,
	opCancel.name:  opCancel.handle,
	opMend.name:    opMend.handle,
	capsOp.name:    capsOp.handle,
	waitingOp.name: waitingOp.handle,
}

// Serve carries out a request of another engine, and returns its answer. It returns flawless.Elsewhere if this engine does
// not own what the request is for, and never passes it on.
func (e *Engine) Serve(ctx context.Context, op string, request []byte) ([]byte, error) {
	handle := peerOps[op]
	if handle == nil {
		return nil, fmt.Errorf("there is no operation %q between servers; the servers have different versions: %w", op, flawless.Elsewhere)
	}
	if err := e.life.Accept(); err != nil && !errors.Is(err, flawless.Full) { // what is open goes on while the disk is full
		return nil, err
	}
	return handle(e, ctx, request)
}
