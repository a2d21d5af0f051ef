package library

import (
	"context"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Other servers on the database may add and remove modules at any time. Whoever chooses code for a run gets the catalog that
// the choice relies on, and the write that accepts the run expects it. If the catalog has changed, the choice is made again.
// The names of modules are cached for one catalog. A server that is alone needs none of this: its catalog is nil.

// known returns the catalog of what is cached.
func (l *Library) known(ctx context.Context) (*store.Catalog, error) {
	if !l.o.Shared {
		return nil, nil
	}
	if c := l.catalog.Load(); c != nil {
		return c, nil
	}
	return l.reread(ctx, nil)
}

// reread reads the catalog again, unless another caller has done so since seen.
func (l *Library) reread(ctx context.Context, seen *store.Catalog) (*store.Catalog, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if c := l.catalog.Load(); c != nil && c != seen {
		return c, nil
	}
	c, err := l.o.Store.Catalog(ctx, l.o.Lease)
	if err != nil {
		return nil, err
	}
	if !c.Same(seen) {
		l.names.forget()
		l.present.Clear()
	}
	l.catalog.Store(c)
	return c, nil
}

// Renew makes later choices use the modules as they are now. Call it when a write was refused with store.ErrStale.
func (l *Library) Renew(ctx context.Context) error {
	_, err := l.reread(ctx, l.catalog.Load())
	return err
}

// Refresh reads which modules there are, and releases the memory of those that other servers have removed.
func (l *Library) Refresh(ctx context.Context) error {
	c := l.catalog.Load()
	if c == nil {
		return nil // nothing is cached
	}
	now, err := l.reread(ctx, c)
	if err != nil || now.Same(c) {
		return err
	}
	select {
	case l.adding <- struct{}{}: // a module is loaded before it is stored
		defer func() { <-l.adding }()
	default:
		return nil // the next change
	}
	l.mu.Lock()
	var loaded []string
	for digest, m := range l.loaded {
		if !m.kept {
			loaded = append(loaded, digest)
		}
	}
	l.mu.Unlock()
	for _, digest := range loaded {
		if has, err := l.o.Store.HasBinary(ctx, digest); err == nil && !has {
			l.unload(ctx, digest)
		}
	}
	return nil
}

const (
	removing = 20 * time.Millisecond // how often to look whether a module is still being removed
	patience = 10 * time.Second      // how long to wait for that
)

// settled waits until the bytes of a module are not being removed, and returns the catalog then. It returns nil if the one
// that it is given says so. The caller has called Choose, so it is another server that removes them.
func (l *Library) settled(ctx context.Context, c *store.Catalog, digest string) (*store.Catalog, error) {
	if c == nil || !c.Removes(digest) {
		return nil, nil
	}
	for began := l.o.Now(); c.Removes(digest); {
		if err := l.o.Store.Unreserve(ctx, l.o.Lease, l.abandoned); err != nil {
			return nil, err
		}
		var err error
		if c, err = l.reread(ctx, c); err != nil {
			return nil, err
		}
		if l.o.Now().Sub(began) > patience {
			return nil, fmt.Errorf("the module with SHA-256 %.12s is being removed by another server: %w", digest, flawless.Conflict)
		}
		if !c.Removes(digest) {
			break
		}
		wait := time.NewTimer(removing)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		}
	}
	return c, nil
}

// Rely returns the catalog in which the store has the bytes of a module and nobody removes them, for a run that is made of
// them. It returns flawless.NotFound if the store does not have them. The caller has called Choose.
func (l *Library) Rely(ctx context.Context, digest string) (*store.Catalog, error) {
	c, err := l.known(ctx)
	if err != nil || c == nil {
		return nil, err
	}
	if later, err := l.settled(ctx, c, digest); err != nil {
		return nil, err
	} else if later != nil {
		c = later
	}
	if at, ok := l.present.Load(digest); ok && at == c {
		return c, nil
	}
	has, err := l.o.Store.HasBinary(ctx, digest)
	if err == nil && !has {
		err = fmt.Errorf("there is no module with SHA-256 %s: %w", digest, flawless.NotFound)
	}
	if err != nil {
		return nil, err
	}
	l.present.Store(digest, c)
	return c, nil
}

// Reserve keeps other servers from removing the bytes of a module until done is called, so that runs can move to them. It
// returns flawless.Conflict if they are being removed.
func (l *Library) Reserve(ctx context.Context, digest string) (done func(), err error) {
	if !l.o.Shared {
		return func() {}, nil // Choose is enough
	}
	_, done, err = l.mark(ctx, []string{digest}, false)
	if err != nil {
		return nil, err
	}
	has, err := l.o.Store.HasBinary(ctx, digest)
	if err == nil && !has {
		err = fmt.Errorf("the module with SHA-256 %.12s has been removed: %w", digest, flawless.Conflict)
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// mark reserves the bytes of modules until done is called.
func (l *Library) mark(ctx context.Context, digests []string, removing bool) (m store.Mark, done func(), err error) {
	if m, err = l.o.Store.Reserve(ctx, l.o.Lease, digests, removing, l.abandoned); err != nil {
		return m, nil, err
	}
	l.marks.Store(m.ID, true)
	return m, func() {
		l.marks.Delete(m.ID) // from now on whoever finds the mark removes it
		_ = l.o.Store.Unreserve(context.WithoutCancel(ctx), l.o.Lease, func(o store.Mark) bool { return o.ID == m.ID })
	}, nil
}

// abandoned reports whether a mark is one of this server that it does not use: its predecessor of the same name has
// crashed, or it could not be removed.
func (l *Library) abandoned(m store.Mark) bool {
	_, used := l.marks.Load(m.ID)
	return m.Owner == l.o.Lease.Owner() && !used
}
