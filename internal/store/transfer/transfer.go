// Package transfer copies all of a store to another database, from where it goes on: from a directory to PostgreSQL, or
// back.
//
// It guarantees that the contents go on in one database only. The source is marked before the first row is copied, and
// cannot be opened as a store from then on; the target can be when all of it was copied and compared. A copy that was
// interrupted at any point is completed by the next call, or cancelled. The package knows nothing of what the rows mean.
package transfer

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// A batch has at most this many rows, or a few bytes more than this.
const (
	maxRows  = 500
	maxBytes = 1 << 20
)

// Side is one of the two databases.
type Side struct {
	KV   store.KV
	Name string // as people call it, without credentials
}

// Options configures a transfer. No server may use either database.
type Options struct {
	From, To Side
	// Progress is called now and then; nil is not.
	Progress func(Report)
}

// Report says what was done.
type Report struct {
	Store    string `json:"store"`    // id of the store
	Rows     int64  `json:"rows"`     // that this call has copied
	Bytes    int64  `json:"bytes"`    // of keys and values
	Compared int64  `json:"compared"` // rows that were read again on both sides, and are equal
	Resumed  bool   `json:"resumed"`  // an earlier call was interrupted
}

type transfer struct {
	Options
	codec  codec.Codec
	report Report
}

// Copy copies the store From to the empty database To, compares both, and only then makes To a store. From cannot be opened
// any more. It returns [flawless.Conflict] if To is not empty, or either is part of another transfer. After a crash or an
// error in the middle, neither can be opened: call it again to go on.
func Copy(ctx context.Context, o Options) (Report, error) {
	c, err := codec.New()
	if err != nil {
		return Report{}, err
	}
	t := &transfer{Options: o, codec: c}
	if err := t.copy(ctx); err != nil {
		return t.report, fmt.Errorf("copying the store %s to %s: %w", o.From.Name, o.To.Name, err)
	}
	return t.report, nil
}

func (t *transfer) copy(ctx context.Context) error {
	source, mark, err := store.TransferOf(ctx, t.From.KV)
	if err != nil {
		return err
	}
	target, row, err := store.TransferOf(ctx, t.To.KV)
	if err != nil {
		return err
	}
	if err := t.check(ctx, source, target); err != nil {
		return err
	}
	if source == nil {
		if source, mark, err = t.leave(ctx); err != nil {
			return err
		}
	} else {
		t.report.Store, t.report.Resumed = source.Store, true
	}
	if target == nil {
		target = &store.Transfer{ID: source.ID, Role: kv.Incomplete, Other: t.From.Name, Store: source.Store}
		if row, err = t.put(ctx, t.To.KV, nil, target); err != nil {
			return fmt.Errorf("beginning to write to %s: %w", t.To.Name, err)
		}
	}
	if row, err = t.rows(ctx, target, row); err != nil {
		return err
	}
	if err := t.compare(ctx); err != nil {
		return err
	}
	// The source first: once the target can be opened, nothing may be copied to it any more.
	source.Done = true
	if _, err := t.put(ctx, t.From.KV, mark, source); err != nil {
		return fmt.Errorf("marking %s as moved: %w", t.From.Name, err)
	}
	b := store.Batch{Expect: []store.Item{{Key: store.KeyTransfer(), Value: row}}, Delete: [][]byte{store.KeyTransfer()}}
	if err := t.To.KV.Apply(ctx, &b); err != nil {
		return fmt.Errorf("completing the copy: %w", err)
	}
	return nil
}

// check refuses databases that are not two sides of the same transfer, before anything is changed.
func (t *transfer) check(ctx context.Context, source, target *store.Transfer) error {
	switch {
	case source != nil && (source.Role != kv.Moved || source.Other != t.To.Name):
		return fmt.Errorf("%s: %w", t.From.Name, source.Err())
	case target != nil && (target.Role != kv.Incomplete || source == nil || target.ID != source.ID):
		return fmt.Errorf("%s: %w", t.To.Name, target.Err())
	case target != nil:
		return nil
	case source != nil && source.Done:
		return fmt.Errorf("the copy is complete already: start the server on %s: %w", t.To.Name, flawless.Conflict)
	}
	switch empty, err := isEmpty(ctx, t.To.KV); {
	case err != nil:
		return err
	case !empty:
		return fmt.Errorf("%s is not empty: give an empty one: %w", t.To.Name, flawless.Conflict)
	}
	switch empty, err := isEmpty(ctx, t.From.KV); {
	case err != nil:
		return err
	case empty:
		return fmt.Errorf("there is no store in %s: %w", t.From.Name, flawless.NotFound)
	}
	return nil
}

func isEmpty(ctx context.Context, kv store.KV) (bool, error) {
	for _, err := range kv.Scan(ctx, store.Range{Limit: 1}) {
		return false, err
	}
	return true, nil
}

// leave marks the source as moved, and fences every server that has it open.
func (t *transfer) leave(ctx context.Context) (*store.Transfer, []byte, error) {
	st, err := store.Open(ctx, t.From.KV)
	if err != nil {
		return nil, nil, err
	}
	if st.Identity().Holding {
		return nil, nil, fmt.Errorf("%s is a copy whose runs are not all on hold yet: start the server on it once: %w", t.From.Name, flawless.Conflict)
	}
	nodes, err := t.known(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	if _, err := st.Claim(ctx, "flawless store copy"); err != nil {
		return nil, nil, err
	}
	for _, n := range nodes { // they own nothing any more, and nobody shall wait for them at the target
		if err := st.PutNode(ctx, &n, nil); err != nil {
			return nil, nil, fmt.Errorf("%s: node %s runs: stop it first: %w: %w", t.From.Name, n.Name, err, flawless.Conflict)
		}
	}
	t.report.Store = st.Identity().ID
	mark := &store.Transfer{ID: rand.Text(), Role: kv.Moved, Other: t.To.Name, Store: t.report.Store}
	row, err := t.put(ctx, t.From.KV, nil, mark)
	if err != nil {
		return nil, nil, fmt.Errorf("marking %s as moved: %w", t.From.Name, err)
	}
	return mark, row, nil
}

// known returns the nodes of a store whose logs have every call that was made, as far as that can be known without their
// rings. These belong to this database, and nobody asks for them at the target.
func (t *transfer) known(ctx context.Context, st *store.Store) ([]flawless.Node, error) {
	h, err := st.History(ctx)
	if err != nil {
		return nil, err
	}
	if h.Open || len(h.Rings) > 0 || len(h.Resuming) > 0 {
		return nil, fmt.Errorf("%s may have lost calls that were made, and runs are held because of that: start a server on it, decide with flawless history, and stop it again: %w", t.From.Name, flawless.Conflict)
	}
	nodes, err := st.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if !n.Dead && n.Ring != "" && n.Branch != st.Branch() {
			return nil, fmt.Errorf("%s is another database server than the one that node %s has used, and may lack its newest calls: start a server on it, in the working directory of that node if it is still there, and stop it again: %w", t.From.Name, n.Name, flawless.Conflict)
		}
	}
	return nodes, nil
}

// unmark makes the source a store again.
func (t *transfer) unmark(ctx context.Context) error {
	_, row, err := store.TransferOf(ctx, t.From.KV)
	if err != nil || row == nil {
		return err
	}
	return t.From.KV.Apply(ctx, &store.Batch{Expect: []store.Item{{Key: store.KeyTransfer(), Value: row}}, Delete: [][]byte{store.KeyTransfer()}})
}

// put writes the mark of a database, whose row must be before now; nil is none. It returns the new row.
func (t *transfer) put(ctx context.Context, kv store.KV, before []byte, mark *store.Transfer) ([]byte, error) {
	var row bytes.Buffer
	if err := t.codec.Encode(&row, mark); err != nil {
		return nil, err
	}
	b := store.Batch{Expect: []store.Item{{Key: store.KeyTransfer(), Value: slices.Clone(before)}}, Set: []store.Item{{Key: store.KeyTransfer(), Value: row.Bytes()}}}
	written := slices.Clone(row.Bytes())
	return written, kv.Apply(ctx, &b)
}

// rows copies all rows from the mark on. Each batch moves the mark, so an interrupted copy goes on after the last one.
func (t *transfer) rows(ctx context.Context, mark *store.Transfer, row []byte) ([]byte, error) {
	for {
		b, size := store.Batch{Expect: []store.Item{{Key: store.KeyTransfer(), Value: slices.Clone(row)}}}, 0
		for item, err := range t.From.KV.Scan(ctx, store.Range{From: mark.Next, Limit: maxRows}) {
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", t.From.Name, err)
			}
			mark.Next = append(slices.Clone(item.Key), 0)
			if bytes.Equal(item.Key, store.KeyTransfer()) {
				continue
			}
			b.Set = append(b.Set, store.Item{Key: slices.Clone(item.Key), Value: slices.Clone(item.Value)})
			if size += len(item.Key) + len(item.Value); size >= maxBytes {
				break
			}
		}
		if len(b.Set) == 0 {
			return row, nil
		}
		var next bytes.Buffer
		if err := t.codec.Encode(&next, mark); err != nil {
			return nil, err
		}
		row = slices.Clone(next.Bytes())
		n := len(b.Set)
		b.Set = append(b.Set, store.Item{Key: store.KeyTransfer(), Value: next.Bytes()})
		if err := t.To.KV.Apply(ctx, &b); err != nil {
			return nil, fmt.Errorf("writing to %s: %w", t.To.Name, err)
		}
		t.report.Rows += int64(n)
		t.report.Bytes += int64(size)
		t.progress()
	}
}

func (t *transfer) progress() {
	if t.Progress != nil {
		t.Progress(t.report)
	}
}

// compare reads both databases again, which must be equal.
func (t *transfer) compare(ctx context.Context) error {
	next, stop := iter.Pull2(t.To.KV.Scan(ctx, store.Range{}))
	defer stop()
	other := func() (store.Item, bool, error) {
		for {
			item, err, ok := next()
			if err != nil || !ok || !bytes.Equal(item.Key, store.KeyTransfer()) {
				return item, ok, err
			}
		}
	}
	for item, err := range t.From.KV.Scan(ctx, store.Range{}) {
		if err != nil {
			return fmt.Errorf("reading %s again: %w", t.From.Name, err)
		}
		if bytes.Equal(item.Key, store.KeyTransfer()) {
			continue
		}
		copied, ok, err := other()
		switch {
		case err != nil:
			return fmt.Errorf("reading %s again: %w", t.To.Name, err)
		case !ok || !bytes.Equal(item.Key, copied.Key):
			return t.differ(item.Key, "is missing there, or another one is in its place")
		case !bytes.Equal(item.Value, copied.Value):
			return t.differ(item.Key, "has another value there")
		}
		if t.report.Compared++; t.report.Compared%(10*maxRows) == 0 {
			t.progress()
		}
	}
	switch more, ok, err := other(); {
	case err != nil:
		return fmt.Errorf("reading %s again: %w", t.To.Name, err)
	case ok:
		return t.differ(more.Key, "is there, but not in the source")
	}
	return nil
}

func (t *transfer) differ(key []byte, how string) error {
	return fmt.Errorf("%s is not equal to %s: the row %q %s; remove the copy, and undo with flawless store copy --cancel: %w", t.To.Name, t.From.Name, key, how, flawless.Damaged)
}

// Cancel ends a transfer that is not complete: From can be opened again, and To never can be. It returns
// [flawless.Conflict] if the transfer is complete. After a crash in the middle, call it again.
func Cancel(ctx context.Context, o Options) error {
	if err := cancel(ctx, o); err != nil {
		return fmt.Errorf("cancelling the copy of the store %s to %s: %w", o.From.Name, o.To.Name, err)
	}
	return nil
}

func cancel(ctx context.Context, o Options) error {
	c, err := codec.New()
	if err != nil {
		return err
	}
	t := &transfer{Options: o, codec: c}
	source, _, err := store.TransferOf(ctx, o.From.KV)
	if err != nil {
		return err
	}
	if source == nil || source.Role != kv.Moved {
		return fmt.Errorf("%s is not being copied: %w", o.From.Name, flawless.Conflict)
	}
	if source.Done {
		return fmt.Errorf("the copy is complete, so its runs may have gone on in %s: %w", o.To.Name, flawless.Conflict)
	}
	target, row, err := store.TransferOf(ctx, o.To.KV)
	if err != nil {
		return err
	}
	if target != nil && target.ID != source.ID {
		return fmt.Errorf("%s is a copy of another store: %w", o.To.Name, flawless.Conflict)
	}
	switch empty, err := isEmpty(ctx, o.To.KV); {
	case err != nil:
		return err
	case target == nil && !empty:
		return fmt.Errorf("%s is not a copy of this store: %w", o.To.Name, flawless.Conflict)
	}
	// The target first: from here on, nobody can complete it.
	if _, err := t.put(ctx, o.To.KV, row, &store.Transfer{ID: source.ID, Role: kv.Cancelled, Other: o.From.Name, Store: source.Store}); err != nil {
		return err
	}
	return t.unmark(ctx)
}
