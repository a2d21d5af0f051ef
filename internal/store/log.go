package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Log yields the records of a run from a number on, in order and without gaps. It yields none if the run does not exist.
// It stops with [flawless.Damaged] and the number at a record that is missing, cannot be decoded or has a wrong
// checksum, and with [flawless.Conflict] if a long log is truncated or removed while it is read. If the log was truncated
// before, the first record says so, and the records that were removed do not count as missing.
func (s *Store) Log(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return s.log(ctx, id, from, func(uint64, int) bool { return true })
}

// Page is a page of a log.
type Page struct {
	Records []flawless.Record
	Next    uint64 // number of the next record
	More    bool   // whether there is one
}

// LogPage returns the first records that [Store.Log] yields: at most limit, and at most size stored bytes, unless the
// first record has more. It does not decode the record after the page, so the memory for a page does not depend on it.
func (s *Store) LogPage(ctx context.Context, id string, from uint64, limit, size int) (Page, error) {
	var page Page
	fits := func(seq uint64, n int) bool {
		size -= n
		if k := len(page.Records); k == limit || k > 0 && size < 0 {
			page.Next, page.More = seq, true
			return false
		}
		return true
	}
	for r, err := range s.log(ctx, id, from, fits) {
		if err != nil {
			return Page{}, err
		}
		page.Records = append(page.Records, r)
	}
	return page, nil
}

// log is Log up to the first record that is not wanted, which is not decoded.
func (s *Store) log(ctx context.Context, id string, from uint64, wanted func(seq uint64, size int) bool) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		prefix := key.Record.Of(id)
		next := from
		read := reader{store: s, id: id}
		for item, err := range s.kv.Scan(ctx, Range{From: key.Record.Of(id).Number(from), To: prefix.End()}) {
			var r flawless.Record
			if err == nil {
				read.note(item)
			}
			if err == nil && next == from && from > 0 {
				next, err = s.passCut(ctx, id, item, len(prefix), from)
			}
			if err == nil && !wanted(next, len(item.Value)) {
				return
			}
			if err == nil {
				r, err = s.record(item, len(prefix), next)
			}
			if errors.Is(err, flawless.Damaged) {
				err = cmp.Or(read.changed(ctx), err)
			}
			if err != nil {
				yield(flawless.Record{}, fmt.Errorf("reading the log of run %s, record %d: %w", id, next, err))
				return
			}
			if !yield(r, nil) {
				return
			}
			if next++; r.Cut != nil {
				next = r.Cut.Next
			}
		}
		if err := read.changed(ctx); err != nil {
			yield(flawless.Record{}, fmt.Errorf("reading the log of run %s, after record %d: %w", id, next, err))
		}
	}
}

// reader finds out whether a log that may have been read in several pages (see [KV.Scan]) was truncated or removed
// meanwhile: both change its first record. Otherwise a log only grows, and its last record may be replaced.
type reader struct {
	store       *Store
	id          string
	first       []byte // the first record, if it was read
	items, size int
}

// note notes a record that was read.
func (r *reader) note(item Item) {
	if r.items == 0 && bytes.Equal(item.Key, key.Record.Of(r.id).Number(0)) {
		r.first = bytes.Clone(item.Value)
	}
	r.items++
	r.size += len(item.Value)
}

// changed returns [flawless.Conflict] if the log is another one than at the first record.
func (r *reader) changed(ctx context.Context) error {
	if r.first == nil || r.items < SnapshotItems && r.size < SnapshotBytes {
		return nil
	}
	now, err := r.store.kv.Get(ctx, key.Record.Of(r.id).Number(0))
	switch {
	case errors.Is(err, flawless.NotFound):
		return fmt.Errorf("the run was removed while its log was read: %w", flawless.Conflict)
	case err != nil:
		return err
	case !bytes.Equal(now, r.first):
		return fmt.Errorf("the log was truncated while it was read; read it again: %w", flawless.Conflict)
	}
	return nil
}

// passCut returns the number that the first record of a scan should have, because record from may have been removed.
func (s *Store) passCut(ctx context.Context, id string, item Item, skip int, from uint64) (uint64, error) {
	p := key.Split(item.Key, skip)
	n := p.Number()
	if p.Bad() || n == from {
		return from, nil
	}
	var first codec.Record
	if err := s.get(ctx, key.Record.Of(id).Number(0), &first, "record 0"); err != nil || first.Cut == nil || first.Cut.Next < n {
		return from, nil // record from is missing
	}
	return n, nil
}

// record decodes the record with the number seq. The first skip bytes of its key identify the run.
func (s *Store) record(item Item, skip int, seq uint64) (flawless.Record, error) {
	p := key.Split(item.Key, skip)
	n := p.Number()
	if err := p.Whole(item.Key); err != nil {
		return flawless.Record{}, err
	}
	if n != seq {
		return flawless.Record{}, fmt.Errorf("it is missing; the next record is %d: %w", n, flawless.Damaged)
	}
	var r codec.Record
	if err := s.codec.Decode(item.Value, &r); err != nil {
		return flawless.Record{}, fmt.Errorf("key %q: %w", item.Key, err)
	}
	return flawless.Record{Seq: seq, Epoch: r.Epoch, Entries: r.Entries, Cut: r.Cut}, nil
}
