package engine

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/follow"
)

// newFollowed connects the followers of runs with the engine.
func (e *Engine) newFollowed() *follow.Runs {
	return follow.New(follow.Options{Hub: e.hub, Run: e.Run, Log: e.store.Log, Data: e.Data, Row: e.row, Owns: e.runs.Owns, Part: e.runs.Life, Life: e.life, Peers: e.peers})
}

// Wait returns the run when it has ended, or ctx's error. It goes on when another server takes over the run.
func (e *Engine) Wait(ctx context.Context, id string) (flawless.Run, error) {
	return e.followed.Wait(ctx, id)
}

// Settled returns the run when it has ended or is unresolved, or ctx's error. It goes on when another server takes over the
// run.
func (e *Engine) Settled(ctx context.Context, id string) (flawless.Run, error) {
	return e.followed.Settled(ctx, id)
}

// Follow yields the records of a run as they become durable, see [follow.Runs.Follow].
func (e *Engine) Follow(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return e.followed.Follow(ctx, id, from)
}

// Watch yields every run whose durable state changes from now on, until ctx ends or the engine stops.
func (e *Engine) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	return e.followed.Watch(ctx)
}

// Changes is Watch for a reader that was away, see [follow.Runs.Changes].
func (e *Engine) Changes(ctx context.Context, epoch string, from uint64) iter.Seq2[follow.Change, error] {
	return e.followed.Changes(ctx, epoch, from)
}

// Epoch names the numbers of changes that this engine yields; another one, or this server after a restart, has others.
func (e *Engine) Epoch() string {
	epoch, _ := e.hub.Now()
	return epoch
}

// row returns a run as lists show it.
func (e *Engine) row(ctx context.Context, id string) (flawless.Run, error) {
	h, err := e.store.Head(ctx, id)
	return h.Run, err
}

// Response returns what a run has responded, see [follow.Runs.Response].
func (e *Engine) Response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	return e.followed.Response(ctx, id)
}
