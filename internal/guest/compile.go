package guest

import (
	"context"
	"crypto/sha256"

	"github.com/tetratelabs/wazero"
)

// compileShared compiles a module in the runtime that guests run in. It does so for one at a time of those that have the
// same bytes: wazero hands out code that it reads from its cache before the code is complete, and a second module that got
// it then would panic when it is used.
func (r *Runtime) compileShared(ctx context.Context, bin []byte) (wazero.CompiledModule, error) {
	leave, err := r.alone(ctx, sha256.Sum256(bin))
	if err != nil {
		return nil, err
	}
	defer leave()
	return compileWith(ctx, r.wazero, bin)
}

// turnstile lets one at a time pass. It goes when nobody is left at it.
type turnstile struct {
	free chan struct{} // has an item while nobody passes
	at   int           // who passes or waits
}

// alone waits until no other caller is at work with the same key. leave ends the work.
func (r *Runtime) alone(ctx context.Context, key [sha256.Size]byte) (leave func(), err error) {
	r.mu.Lock()
	t := r.turnstiles[key]
	if t == nil {
		t = &turnstile{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		if r.turnstiles == nil {
			r.turnstiles = map[[sha256.Size]byte]*turnstile{}
		}
		r.turnstiles[key] = t
	}
	t.at++
	r.mu.Unlock()
	gone := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.at--; t.at == 0 {
			delete(r.turnstiles, key)
		}
	}
	select {
	case <-t.free:
		return func() {
			t.free <- struct{}{}
			gone()
		}, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
