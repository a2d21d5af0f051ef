package tally

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Recount compares the rows of a shard with its runs, and replaces them if they differ. heads has all runs of the shard, as stored,
// and add takes in one of them. write sets and deletes rows in one write, under the lease of the shard. Recount returns the modules
// whose counts were wrong. No other write of this server changes a count while rows are replaced. The context is one of those that
// rebuild no damaged rows.
func (b *Book) Recount(ctx context.Context, sh key.Shard, heads iter.Seq2[kv.Item, error], add func(t *Totals, head []byte) error, write func(set []kv.Item, gone [][]byte) error) (wrong []string, err error) {
	count := func(t *Totals) error {
		for item, err := range heads {
			if err == nil {
				err = add(t, item.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if wrong, _, _, err = b.differ(ctx, sh, count); err != nil || len(wrong) == 0 {
		return nil, err
	}
	defer b.Pause()() // runs may have changed between the two readings, so only what is seen now counts
	wrong, rows, totals, err := b.differ(ctx, sh, count)
	if err != nil || len(wrong) == 0 {
		return nil, err
	}
	set, err := totals.Rows()
	if err != nil {
		return nil, err
	}
	var gone [][]byte
	for _, k := range rows {
		if !slices.ContainsFunc(set, func(i kv.Item) bool { return string(i.Key) == string(k) }) {
			gone = append(gone, k)
		}
	}
	defer b.forget(sh) // even if it is unknown whether the write took effect
	if err := write(set, gone); err != nil {
		return nil, err
	}
	return wrong, nil
}

// differ returns the modules whose counts in a shard are wrong, the keys of all rows there, and what they should be.
func (b *Book) differ(ctx context.Context, sh key.Shard, count func(*Totals) error) (wrong []string, keys [][]byte, right *Totals, err error) {
	there := map[string]*Row{}
	prefix := key.Tally.Key().Shard(sh)
	for item, err := range b.db().Scan(ctx, kv.Range{From: prefix, To: prefix.End()}) {
		var row Row
		if err == nil {
			err = b.codec.Decode(item.Value, &row)
		}
		p := key.SplitOwned(item.Key)
		module := p.Text()
		if err != nil || p.Bad() {
			return nil, nil, nil, fmt.Errorf("reading the counts of runs (key %q): %w", item.Key, err)
		}
		if there[module] == nil {
			there[module] = new(Row)
		}
		there[module].plus(&row)
		keys = append(keys, slices.Clone(item.Key))
	}
	right = b.NewTotals()
	if err := count(right); err != nil {
		return nil, nil, nil, err
	}
	for p := range right.rows {
		if there[p.module] == nil {
			there[p.module] = new(Row)
		}
	}
	for module, row := range there {
		if !row.same(right.rows[place{sh, module}]) {
			wrong = append(wrong, module)
		}
	}
	return wrong, keys, right, nil
}

// same reports whether two rows count the same runs; nil counts none.
func (r *Row) same(o *Row) bool {
	if o == nil {
		o = new(Row)
	}
	for i := range max(len(r.Runs), len(o.Runs)) {
		if at(r.Runs, i) != at(o.Runs, i) {
			return false
		}
	}
	return maps.EqualFunc(r.Reasons, o.Reasons, func(x, y Reason) bool { return x.Runs == y.Runs })
}

func at(counts []int64, i int) int64 {
	if i < len(counts) {
		return counts[i]
	}
	return 0
}

// forget drops what is known of the rows of a shard, so that they are read again.
func (b *Book) forget(sh key.Shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.cells, func(p place, _ *cell) bool { return p.shard == sh })
}
