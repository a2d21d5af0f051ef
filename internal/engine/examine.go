package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
)

// Replay takes the turns of a run's log again, with its own module or, where bin is not nil, with
// that one. It touches neither the outside nor the run, which may be in any state and go on
// meanwhile; the log is taken as it is at this moment.
func (e *Engine) Replay(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	var out flawless.Replay
	err := e.examine(ctx, id, bin, func(m *guest.Module, _ store.Head) (err error) {
		out, err = replay.Run(ctx, m, id, e.store.Log(ctx, id, 0), replay.Options{})
		return err
	})
	return out, err
}

// examine calls f with the module that a run is to be examined with. As many examinations go on at
// once as guests compute.
func (e *Engine) examine(ctx context.Context, id string, bin []byte, f func(m *guest.Module, head store.Head) error) error {
	if err := flawless.CheckID(id); err != nil {
		return err
	}
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return err
	}
	m, done, err := e.borrow(ctx, head.Run.Digest, bin)
	if err != nil {
		return fmt.Errorf("examining run %s: %w", id, err)
	}
	defer done()
	if err := e.permits.acquire(ctx, heavy, 0, nil); err != nil {
		return err
	}
	defer e.permits.release()
	return f(m, head)
}

// borrow returns a module until done is called: the one of the digest, or that of bin.
func (e *Engine) borrow(ctx context.Context, digest string, bin []byte) (m *guest.Module, done func(), err error) {
	if bin == nil {
		l, err := e.module(ctx, digest)
		return l.module, func() {}, err
	}
	if len(bin) > MaxModule {
		return nil, nil, fmt.Errorf("the module has %d bytes, at most %d are taken: %w", len(bin), MaxModule, flawless.TooLarge)
	}
	sum := sha256.Sum256(bin)
	e.mu.Lock()
	l := e.modules[hex.EncodeToString(sum[:])]
	e.mu.Unlock()
	if l != nil {
		select {
		case <-l.done:
			return l.module, func() {}, l.err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if m, err = e.guest.Load(ctx, bin, nil); err != nil {
		return nil, nil, err
	}
	return m, func() { _ = m.Close(context.WithoutCancel(ctx)) }, nil
}
