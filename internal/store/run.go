package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

// Head is what is known of a run without reading its log.
type Head struct {
	Run    flawless.Run `cbor:"1,keyasint"`           // kept as it is given, with its output if it has one
	Active bool         `cbor:"2,keyasint,omitempty"` // calls are under way or answers undelivered: it must be looked at after a restart
	Wake   int64        `cbor:"3,keyasint,omitempty"` // moment of its timer, Unix nanoseconds; 0 is none
}

// Write is what changes of one run at once.
type Write struct {
	ID      string
	New     bool             // the run must not exist yet
	Before  *Head            // what is stored now; nil when New is set or After is nil
	After   *Head            // what is to be stored; nil leaves head and lists as they are
	Seq     uint64           // of the record
	Entries []flawless.Entry // one record; empty writes none
	Data    []byte           // the run's data (JSON); nil leaves it
	Forget  bool             // the image of the run is removed
	Keyed   bool             // with New: the id is a caller's own, and never given to a second run
}

// Write carries out w: all of it or nothing, and on stable storage when it returns nil.
//
// It returns [flawless.Fenced] where l is not the lease that holds, [flawless.Conflict] where w is
// New and there is a run of that id, or records of one that is being removed, [flawless.Invalid] where w
// is not consistent in itself,
// [flawless.TooLarge] where a record is above the limits of the format, [flawless.Full] where there
// is no space; nothing has changed then. After a crash in the middle all of it is there, or nothing.
func (s *Store) Write(ctx context.Context, l Lease, w Write) error {
	err := s.under(ctx, l, func(d *draft) error { return s.draftWrite(d, l, &w) })
	if w.New && errors.Is(err, flawless.Conflict) {
		err = fmt.Errorf("there is a run of this id already: %w", flawless.Conflict)
	}
	if err != nil {
		return fmt.Errorf("writing run %s: %w", w.ID, err)
	}
	return nil
}

func (s *Store) draftWrite(d *draft, l Lease, w *Write) error {
	if err := w.check(); err != nil {
		return err
	}
	if len(w.Entries) > 0 {
		rec := codec.Record{Epoch: l.Epoch, Entries: w.Entries}
		if err := d.set(s.codec, d.key(familyRecord).text(w.ID).number(w.Seq), &rec); err != nil {
			return fmt.Errorf("record %d: %w", w.Seq, err)
		}
	}
	if w.After != nil {
		if w.New {
			d.absent(keyHead(w.ID))
			d.absent(keyRemoval(w.ID)) // records of the last run of that id are still there
			if w.Keyed {
				d.absent(keyGone(w.ID))
			}
		}
		if err := d.set(s.codec, d.key(familyHead).text(w.ID), w.After); err != nil {
			return fmt.Errorf("head: %w", err)
		}
		d.index(w.ID, w.Before, w.After)
	}
	if w.Data != nil {
		if err := d.setRaw(s.codec, d.key(familyData).text(w.ID), w.Data); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	if w.Forget {
		d.delete(d.key(familyImage).text(w.ID))
	}
	return nil
}

// check returns an error where parts of w contradict each other, or could not be read again.
func (w *Write) check() error {
	switch {
	case w.New && (w.Before != nil || w.After == nil):
		return fmt.Errorf("a new run has a head after and none before: %w", flawless.Invalid)
	case !w.New && w.After != nil && w.Before == nil:
		return fmt.Errorf("the head before is missing: %w", flawless.Invalid)
	case w.After != nil && w.After.Run.ID != w.ID, w.Before != nil && w.Before.Run.ID != w.ID:
		return fmt.Errorf("a head of another run: %w", flawless.Invalid)
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
	if err := s.get(ctx, keyHead(id), &h, "run %s", id); err != nil {
		return Head{}, err
	}
	return h, nil
}

// Data returns a run's data (JSON), or [flawless.NotFound] where none was set.
func (s *Store) Data(ctx context.Context, id string) ([]byte, error) {
	return s.getRaw(ctx, keyData(id), "the data of run %s", id)
}
