package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store"
)

// Export says what to leave out of a bundle.
type Export = bundle.Without

// Export returns a run as a bundle to be written, see [bundle.Source.Export].
func (e *Engine) Export(ctx context.Context, id string, o Export) (bundle.Export, error) {
	x, err := bundle.Source{Run: e.Run, Log: e.Records, Store: e.store, Rules: e.mask.Rules}.Export(ctx, id, o)
	if err != nil {
		return x, fmt.Errorf("exporting run %s: %w", id, err)
	}
	return x, nil
}

// Import stores the run of a bundle, under its own id or another one, and returns it. It can be inspected, replayed and
// forked like any other run, but never continues: Import terminates a run that has not ended. A crash in the middle leaves
// no run, and perhaps the bytes of its module.
func (e *Engine) Import(ctx context.Context, b bundle.Bundle, id string) (flawless.Run, error) {
	check := flawless.CheckNewID
	if id == "" || id == b.Manifest.Run.ID {
		id, check = b.Manifest.Run.ID, flawless.CheckImportedID
	}
	if err := check(id); err != nil {
		return flawless.Run{}, fmt.Errorf("importing run %.200q: %w (--id gives it another)", id, err)
	}
	if err := e.life.Accept(); err != nil {
		return flawless.Run{}, err
	}
	digest := b.Manifest.Module.Digest
	s, entries := e.imported(b, id)
	if s.Start().Digest != digest {
		return flawless.Run{}, fmt.Errorf("importing run %s: its log belongs to module %.12s, but the manifest of the bundle names %.12s: %w", id, s.Start().Digest, digest, flawless.Invalid)
	}
	switch _, err := e.store.Binary(ctx, digest); {
	case err == nil:
		defer e.library.Choose()()
		return e.keep(ctx, s, entries, false)
	case !errors.Is(err, flawless.NotFound):
		return flawless.Run{}, err
	case b.Module == nil:
		return flawless.Run{}, fmt.Errorf("importing run %s: the bundle has only the log, and this server does not have its module %.12s; add the module, or export without --log-only: %w", id, digest, flawless.Invalid)
	}
	done, err := e.library.Adopt(ctx, digest, b.Module)
	if err != nil {
		return flawless.Run{}, fmt.Errorf("importing run %s: %w", id, err)
	}
	defer done()
	return e.keep(ctx, s, entries, false)
}

// imported returns the entries of a run from a bundle, and its state after them: ended, without open calls.
func (e *Engine) imported(b bundle.Bundle, id string) (*core.State, []flawless.Entry) {
	s := core.NewState(id, e.kinds)
	var entries []flawless.Entry
	for _, rec := range b.Log {
		for _, x := range rec.Entries {
			if x.Start != nil {
				start := *x.Start
				start.Origin = core.OriginOf(b.Manifest.Run.ID, start.Origin, 0)
				start.Origin.Redacted = b.Manifest.Redacted
				x.Start = &start
			}
			s.Step(x)
			entries = append(entries, x)
		}
	}
	return s, append(entries, s.CloseImported(b.Manifest.Run.Status)...)
}

// keep writes a new run with all its entries as one record. continues says whether it continues; the caller wakes it then.
func (e *Engine) keep(ctx context.Context, s *core.State, entries []flawless.Entry, continues bool) (flawless.Run, error) {
	head := store.Head{Run: s.Summary()}
	head.Run.Output = nil
	if continues {
		head.Active, head.Wake = s.Active(), s.NextWake()
	}
	w := store.Write{ID: s.ID(), New: true, After: &head, Entries: entries}
	for _, x := range entries {
		if x.Turn != nil && x.Turn.Data != nil {
			w.Data = x.Turn.Data
		}
	}
	if err := e.runs.Owns(s.ID()); err != nil {
		return flawless.Run{}, err
	}
	if e.runs.Has(s.ID()) {
		return flawless.Run{}, fmt.Errorf("storing run %s: a run with this id already exists; choose another with --id: %w", s.ID(), flawless.Conflict)
	}
	var err error
	for {
		if w.Catalog, err = e.library.Rely(ctx, s.Start().Digest); err != nil {
			return flawless.Run{}, fmt.Errorf("storing run %s: %w", s.ID(), err)
		}
		if err = elsewhere(e.store.Write(ctx, e.lease, w)); !errors.Is(err, store.ErrStale) {
			break
		}
		if err := e.library.Renew(ctx); err != nil {
			return flawless.Run{}, err
		}
	}
	if err != nil {
		if errors.Is(err, flawless.Conflict) {
			err = fmt.Errorf("%w; choose another id with --id", err)
		}
		return flawless.Run{}, err
	}
	summary := s.Summary()
	e.hub.Publish(summary)
	return summary, nil
}
