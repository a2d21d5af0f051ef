package engine

import (
	"context"
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// Peers reaches the engines of other servers on the same database.
type Peers = rpc.Peers

// peerOp is an operation that an engine carries out itself for another one. Other packages have operations of their own.
type peerOp[In, Out any] struct {
	name  string
	serve func(e *Engine, ctx context.Context, in In) (Out, error)
}

// ask has the owner of a shard carry out the operation, see [rpc.Op.Ask].
func (o peerOp[In, Out]) ask(ctx context.Context, e *Engine, sh store.Shard, in In) (Out, error) {
	return rpc.Op[In, Out](o.name).Ask(ctx, e.peers, sh, in)
}

// handle has an engine carry out the operation for others.
func (o peerOp[In, Out]) handle(e *Engine) {
	rpc.Op[In, Out](o.name).Handle(e.peers, func(ctx context.Context, in In) (Out, error) { return o.serve(e, ctx, in) })
}

// peerOps are the operations by name.
var peerOps = map[string]func(e *Engine){
	sendOp.name:    sendOp.handle,
	opMend.name:    opMend.handle,
	opStart.name:   opStart.handle,
	opCancel.name:  opCancel.handle,
	waitingOp.name: waitingOp.handle,
}

// hasPeers reports whether there may be other servers.
func (e *Engine) hasPeers() bool { return !e.peers.Alone() }

// Serve carries out a request of another engine, and returns its answer. It returns flawless.Elsewhere if this engine does
// not own what the request is for, and never passes it on.
func (e *Engine) Serve(ctx context.Context, op string, request []byte) ([]byte, error) {
	if err := e.life.Accept(); err != nil && !errors.Is(err, flawless.Full) { // what is open goes on while the disk is full
		return nil, err
	}
	return e.peers.Serve(ctx, op, request)
}
