// Package tally counts the runs of a store by module, status and reason, in rows that change in the same write as the runs.
//
// A database cannot add to a number, so a row is read, changed and written by one writer at a time: the owner of its shard.
// In order that its writes need not wait for each other, each module has several rows in a shard, its slots: a write takes a
// slot that no other write is using, and a count is the sum over all slots. A single slot may be negative.
//
// The package hides rows and slots. It guarantees that counts are those of the runs that are stored, whatever crashes,
// and that a writer of an older epoch changes none. It never walks runs, but for
// [Totals], when the rows are rebuilt.
package tally

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

const (
	maxSlots   = 64 // writes of one module in one shard at once; others wait
	maxReasons = 16 // of one module in one shard; runs with other reasons count under Other
)

// Other is the reason of runs whose own reason is one too many.
const Other = "other"

// Row has counts of runs of a module.
type Row struct {
	Runs    []int64           `cbor:"1,keyasint,omitempty"` // by position in flawless.Statuses
	Reasons map[string]Reason `cbor:"2,keyasint,omitempty"` // by status, a space and the reason
}

// Reason counts runs with a reason.
type Reason struct {
	Runs  int64 `cbor:"1,keyasint"`
	First int64 `cbor:"2,keyasint,omitempty"` // when a run got the reason, Unix nanoseconds
	Last  int64 `cbor:"3,keyasint,omitempty"`
}

// Mark says under what a run is counted. The zero value is for a run that does not exist.
type Mark struct {
	Status flawless.Status
	Reason string // "" for a status that has none
}

// add counts a run that has come, or has gone if n is -1.
func (r *Row) add(m Mark, n, at int64) {
	i := slices.Index(flawless.Statuses, m.Status)
	if i < 0 {
		return
	}
	if len(r.Runs) <= i {
		r.Runs = append(r.Runs, make([]int64, len(flawless.Statuses)-len(r.Runs))...)
	}
	r.Runs[i] += n
	if m.Reason != "" {
		r.addReason(string(m.Status)+" "+m.Reason, Reason{n, at, at})
	}
}

func (r *Row) addReason(name string, x Reason) {
	if r.Reasons == nil {
		r.Reasons = map[string]Reason{}
	}
	sum := r.Reasons[name]
	if sum.Runs += x.Runs; x.Runs > 0 {
		if sum.First == 0 || x.First < sum.First {
			sum.First = x.First
		}
		sum.Last = max(sum.Last, x.Last)
	}
	if r.Reasons[name] = sum; sum.Runs == 0 {
		delete(r.Reasons, name)
	}
}

// plus adds the counts of another row.
func (r *Row) plus(o *Row) {
	if len(r.Runs) < len(o.Runs) {
		r.Runs = append(r.Runs, make([]int64, len(o.Runs)-len(r.Runs))...)
	}
	for i, n := range o.Runs {
		r.Runs[i] += n
	}
	for name, x := range o.Reasons {
		r.addReason(name, x)
	}
}

func (r *Row) clone() *Row {
	c := new(Row)
	c.plus(r)
	return c
}

// KV is the database of a [Book], whose rows belong to a generation, as those of indexes do.
type KV interface {
	Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error]
	CurrentGeneration() uint64
}

// Book makes the rows. Its methods may be called concurrently.
type Book struct {
	db    func() KV
	codec codec.Codec

	writing sync.RWMutex // read-locked from Begin to End, locked while the rows are rebuilt
	mu      sync.Mutex   // guards cells and what is in them
	cells   map[place]*cell
}

type place struct {
	shard  key.Shard
	module string
}

// cell is what is known of the slots of a module in a shard.
type cell struct {
	epoch, generation uint64 // at which they were read
	slots             []*Row
	busy              []bool
	freed             sync.Cond
}

// New returns a Book for a database. db is called for each access.
func New(db func() KV, c codec.Codec) *Book {
	return &Book{db: db, codec: c, cells: map[place]*cell{}}
}

// Pause keeps writes from beginning, waits for those that have begun, and returns what lets them begin again. The rows may
// be rebuilt meanwhile.
func (b *Book) Pause() (resume func()) {
	b.writing.Lock()
	return b.writing.Unlock
}

// Slot is taken for one write, until [Slot.End].
type Slot struct {
	book  *Book
	at    place
	cell  *cell
	n     int
	after *Row
}

// Begin takes a slot for a write that moves runs of a module in a shard from one mark to another. epoch is that of the shard:
// its rows are read again when another has written them.
func (b *Book) Begin(ctx context.Context, sh key.Shard, epoch uint64, module string) (*Slot, error) {
	at := place{sh, module}
	for {
		b.mu.Lock()
		c := b.cells[at]
		b.mu.Unlock()
		if c == nil || c.epoch != epoch || c.generation != b.db().CurrentGeneration() {
			read, err := b.read(ctx, at, epoch)
			if err != nil {
				return nil, err
			}
			b.mu.Lock()
			if b.cells[at] == c { // else another write has read it
				b.cells[at] = read
			}
			b.mu.Unlock()
			continue
		}
		b.writing.RLock()
		if c.generation == b.db().CurrentGeneration() {
			if s := b.take(at, c); s != nil {
				return s, nil
			}
		}
		b.writing.RUnlock()
	}
}

// take takes a free slot of a cell, or returns nil if the cell has been replaced.
func (b *Book) take(at place, c *cell) *Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.cells[at] == c {
		n := slices.Index(c.busy, false)
		if n < 0 && len(c.busy) < maxSlots {
			n = len(c.busy)
			c.slots, c.busy = append(c.slots, new(Row)), append(c.busy, false)
		}
		if n >= 0 {
			c.busy[n] = true
			return &Slot{book: b, at: at, cell: c, n: n, after: c.slots[n].clone()}
		}
		c.freed.Wait()
	}
	return nil
}

// read reads the slots of a module in a shard.
func (b *Book) read(ctx context.Context, at place, epoch uint64) (*cell, error) {
	db := b.db()
	c := &cell{epoch: epoch, generation: db.CurrentGeneration()}
	c.freed.L = &b.mu
	prefix := key.Tally.Key().Shard(at.shard).Text(at.module)
	for item, err := range db.Scan(ctx, kv.Range{From: prefix, To: prefix.End()}) {
		row := new(Row)
		p := key.Split(item.Key, len(prefix))
		if err == nil {
			err = b.codec.Decode(item.Value, row)
		}
		n := p.Number()
		if err == nil {
			err = p.Whole(item.Key)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the counts of module %s: %w", at.module, err)
		}
		for uint64(len(c.slots)) <= min(n, maxSlots) {
			c.slots, c.busy = append(c.slots, new(Row)), append(c.busy, false)
		}
		c.slots[min(n, maxSlots)].plus(row)
	}
	return c, nil
}

// Bucket returns the reason under which a run is counted that gets a status with a reason of its own.
func (s *Slot) Bucket(status flawless.Status, reason string) string {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	var sum Row
	for _, r := range s.cell.slots {
		sum.plus(r)
	}
	if _, known := sum.Reasons[string(status)+" "+reason]; known || len(sum.Reasons) < maxReasons {
		return reason
	}
	return Other
}

// Move counts a run under another mark from now on.
func (s *Slot) Move(from, to Mark, at int64) {
	s.after.add(from, -1, at)
	s.after.add(to, 1, at)
}

// Item returns the row for the write.
func (s *Slot) Item() (kv.Item, error) {
	var text bytes.Buffer
	err := s.book.codec.Encode(&text, s.after)
	return kv.Item{Key: keyOf(s.at, s.n), Value: text.Bytes()}, err
}

func keyOf(at place, slot int) key.Key {
	return key.Tally.Key().Shard(at.shard).Text(at.module).Number(uint64(slot))
}

// End gives the slot back. err is the outcome of its write: with none of the codes of package flawless, it is unknown whether
// the write took effect, and the rows are read again.
func (s *Slot) End(err error) {
	defer s.book.writing.RUnlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	switch {
	case err == nil:
		s.cell.slots[s.n] = s.after
	case flawless.CodeOf(err) == "" || errors.Is(err, flawless.Damaged):
		if s.book.cells[s.at] == s.cell {
			delete(s.book.cells, s.at)
		}
	}
	s.cell.busy[s.n] = false
	s.cell.freed.Broadcast()
}

// Sum returns the counts of each module.
func (b *Book) Sum(ctx context.Context) (map[string]*Row, error) {
	all := map[string]*Row{}
	for item, err := range b.db().Scan(ctx, kv.Range{From: key.Tally.Key(), To: key.Tally.Key().End()}) {
		var row Row
		if err == nil {
			err = b.codec.Decode(item.Value, &row)
		}
		p := key.SplitOwned(item.Key)
		module := p.Text()
		if err != nil || p.Bad() {
			return nil, fmt.Errorf("reading the counts of runs (key %q): %w", item.Key, err)
		}
		if all[module] == nil {
			all[module] = new(Row)
		}
		all[module].plus(&row)
	}
	return all, nil
}

// Totals counts runs one by one, to write all rows again.
type Totals struct {
	codec codec.Codec
	rows  map[place]*Row
}

// NewTotals returns empty totals.
func (b *Book) NewTotals() *Totals { return &Totals{b.codec, map[place]*Row{}} }

// Add counts a run.
func (t *Totals) Add(sh key.Shard, module string, m Mark, at int64) {
	p := place{sh, module}
	if t.rows[p] == nil {
		t.rows[p] = new(Row)
	}
	t.rows[p].add(m, 1, at)
}

// Rows returns the rows that count the runs.
func (t *Totals) Rows() (items []kv.Item, err error) {
	for p, row := range t.rows {
		var text bytes.Buffer
		if err := t.codec.Encode(&text, row); err != nil {
			return nil, err
		}
		items = append(items, kv.Item{Key: keyOf(p, 0), Value: text.Bytes()})
	}
	return items, nil
}
