package follow

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// awaited is what somebody waits for at another server, which owns the run: its end, unless Rest or Record is set.
type awaited struct {
	Run    string `cbor:"1,keyasint"`
	Rest   bool   `cbor:"2,keyasint,omitempty"` // it has ended or is unresolved
	Record bool   `cbor:"3,keyasint,omitempty"` // its log has a record with number From, or it has ended
	From   uint64 `cbor:"4,keyasint,omitempty"`
}

// cameTrue says whether it is so, and how the run was then. The records are in the store.
type cameTrue struct {
	So  bool         `cbor:"1,keyasint"`
	Run flawless.Run `cbor:"2,keyasint"`
}

// opAwait waits for a short time until something is so.
const opAwait rpc.Op[awaited, cameTrue] = "await run"

// awaitHere carries out opAwait.
func (f *Runs) awaitHere(ctx context.Context, a awaited) (cameTrue, error) {
	if err := f.o.Owns(a.Run); err != nil {
		return cameTrue{}, err
	}
	within, cancel := context.WithTimeout(ctx, rpc.Patience)
	defer cancel()
	var r flawless.Run
	var err error
	switch {
	case a.Record:
		err = f.recordHere(within, a.Run, a.From)
	case a.Rest:
		r, err = f.settledHere(within, a.Run)
	default:
		r, err = f.waitHere(within, a.Run)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return cameTrue{}, nil
	}
	return cameTrue{err == nil, r}, err
}

// recordHere returns when the log of a run of this engine has a record with a number, or the run has ended.
func (f *Runs) recordHere(ctx context.Context, id string, from uint64) error {
	t, done := f.o.Hub.Follow(id)
	defer done()
	for {
		changed := t.Changed()
		run, part, _, err := f.readOn(ctx, id, from)
		if err != nil || len(part) > 0 || run.Status.Ended() {
			return err
		}
		if err := f.await(ctx, id, changed); err != nil {
			return err
		}
	}
}

// AskEnd asks the server that owns a run, once, and returns when the run has ended or after a short time. Its error is the
// owner's word, or flawless.Elsewhere.
func (f *Runs) AskEnd(ctx context.Context, id string) error {
	_, err := opAwait.Ask(ctx, f.o.Peers, store.ShardOf(id), awaited{Run: id})
	return err
}

// awaitElsewhere returns what the owner of a run says when something is so there, or nothing if this engine owns the run now.
// why says that another server owns it, and is returned if there are no others.
func (f *Runs) awaitElsewhere(ctx context.Context, a awaited, why error) (cameTrue, error) {
	if f.o.Peers.Alone() {
		return cameTrue{}, why
	}
	for f.o.Owns(a.Run) != nil {
		if f.o.Life.Over() || f.o.Life.Stopping() {
			return cameTrue{}, f.o.Life.Err()
		}
		answer, err := opAwait.Ask(ctx, f.o.Peers, store.ShardOf(a.Run), a)
		switch {
		case answer.So && err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return cameTrue{}, ctx.Err()
		case err == nil:
			continue
		case !errors.Is(err, flawless.Elsewhere):
			return cameTrue{}, err
		}
		select {
		case <-time.After(rpc.Pause):
		case <-ctx.Done():
			return cameTrue{}, ctx.Err()
		case <-f.o.Life.Turns.Done():
		}
	}
	return cameTrue{}, nil
}
