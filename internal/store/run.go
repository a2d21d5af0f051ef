package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Head is the part of a run that can be read without its log.
type Head struct {
	Run flawless.Run `cbor:"1,keyasint"` // stored unchanged, including its output
	// Active says that a restart must examine the run: it has calls in flight or undelivered answers, or is quarantined
	// for a reason that the next server may not have.
	Active bool  `cbor:"2,keyasint,omitempty"`
	Wake   int64 `cbor:"3,keyasint,omitempty"` // time of its timer, Unix nanoseconds; 0 is none
	// Reason is what a failed or unresolved run is counted under. The store sets it with each write.
	Reason string `cbor:"4,keyasint,omitempty"`
}

// Write is an atomic change of one run.
type Write struct {
	ID      string
	New     bool             // the run must not exist yet
	Before  *Head            // current head; nil if New is set or After is nil
	After   *Head            // new head; nil does not change head and lists
	Seq     uint64           // number of the record
	Entries []flawless.Entry // one record; empty writes none
	Data    []byte           // data of the run (JSON); nil does not change it
	Forget  bool             // remove the image of the run
	Keyed   bool             // with New: the id was chosen by the caller, and must never be used for a second run
	Catalog *Catalog         // with New: the modules with which its code was chosen; nil if no other server changes them
}

// Write applies w atomically. If it returns nil, w is on stable storage.
//
// It returns [flawless.Fenced] if l does not own its shard, [flawless.Conflict] if w is New and there is a run with
// the id or part of one that is being removed, or, with [ErrStale], if the catalog has changed; [flawless.Invalid] if w is inconsistent, [flawless.TooLarge] if a record
// exceeds the limits of the format, and [flawless.Full] if there is no space; nothing has changed then. A crash in the
// middle leaves all of w or nothing.
func (s *Store) Write(ctx context.Context, l *Lease, w Write) error {
	_, err := s.WriteAt(ctx, l, w)
	return err
}

// WriteAt is Write that returns the position of the write in the history of the database, if that is [Numbered].
func (s *Store) WriteAt(ctx context.Context, l *Lease, w Write) (at Position, err error) {
	sh := ShardOf(w.ID)
	at, err = s.underAt(ctx, l, sh, func(d *draft) error { return s.draftWrite(ctx, d, sh, &w) })
	if w.New && errors.Is(err, flawless.Conflict) && s.isStale(ctx, w.Catalog) {
		err = fmt.Errorf("%w: %w", ErrStale, flawless.Conflict)
	} else if w.New && errors.Is(err, flawless.Conflict) {
		err = fmt.Errorf("a run with this id already exists: %w", flawless.Conflict)
	}
	if err != nil {
		return at, fmt.Errorf("writing run %s: %w", w.ID, err)
	}
	return at, nil
}

// isStale reports whether a catalog is not the stored one. Nil is never stale.
func (s *Store) isStale(ctx context.Context, c *Catalog) bool {
	if c == nil {
		return false
	}
	now, err := s.catalog(ctx)
	return err == nil && !now.Same(c)
}

func (s *Store) draftWrite(ctx context.Context, d *draft, sh Shard, w *Write) error {
	if err := w.check(); err != nil {
		return err
	}
	if w.Catalog != nil {
		w.Catalog.expect(d)
	}
	if len(w.Entries) > 0 {
		rec := codec.Record{Epoch: d.epoch, Entries: w.Entries}
		if err := d.set(s.codec, d.key(key.Record).Shard(sh).Text(w.ID).Number(w.Seq), &rec); err != nil {
			return fmt.Errorf("record %d: %w", w.Seq, err)
		}
	}
	if w.After != nil {
		if w.New {
			d.absent(d.keep(d.key(key.Head).Shard(sh).Text(w.ID)))
			d.absent(d.keep(d.key(key.Removal).Shard(sh).Text(w.ID))) // records of an earlier run with the id still exist
			if w.Keyed {
				d.absent(d.keep(d.key(key.Gone).Shard(sh).Text(w.ID)))
			}
		}
		if err := s.count(ctx, d, sh, w.Before, w.After); err != nil {
			return fmt.Errorf("counts: %w", err)
		}
		if err := d.set(s.codec, d.key(key.Head).Shard(sh).Text(w.ID), w.After); err != nil {
			return fmt.Errorf("head: %w", err)
		}
		d.index(sh, w.ID, w.Before, w.After)
	}
	if w.Data != nil {
		if err := d.setRaw(s.codec, d.key(key.Data).Shard(sh).Text(w.ID), w.Data); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	if w.Forget {
		d.delete(d.key(key.Image).Shard(sh).Text(w.ID))
	}
	return nil
}

// check returns an error if w is inconsistent, or could not be read again.
func (w *Write) check() error {
	switch {
	case w.New && (w.Before != nil || w.After == nil):
		return fmt.Errorf("a new run needs a head after the write and none before: %w", flawless.Invalid)
	case !w.New && w.After != nil && w.Before == nil:
		return fmt.Errorf("the head before the write is missing: %w", flawless.Invalid)
	case w.After != nil && w.After.Run.ID != w.ID, w.Before != nil && w.Before.Run.ID != w.ID:
		return fmt.Errorf("it has the head of another run: %w", flawless.Invalid)
	case w.New:
		if err := flawless.CheckID(w.ID); err != nil {
			return err
		}
	}
	return codec.CheckEntries(w.Entries)
}

// Head returns the head of a run, or [flawless.NotFound].
func (s *Store) Head(ctx context.Context, id string) (Head, error) {
	var h Head
	if err := s.get(ctx, key.Head.Of(id), &h, "run %s", id); err != nil {
		return Head{}, err
	}
	return h, nil
}

// Data returns the data of a run (JSON), or [flawless.NotFound] if it has none.
func (s *Store) Data(ctx context.Context, id string) ([]byte, error) {
	return s.getRaw(ctx, key.Data.Of(id), "the data of run %s", id)
}
