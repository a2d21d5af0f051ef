package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Limits of a page of a scan: rows, and bytes of values after which the page ends. The first page is as large as store.KV
// requires of what comes from one snapshot; later ones are larger.
const (
	firstRows, laterRows   = store.SnapshotItems, 2000
	firstBytes, laterBytes = store.SnapshotBytes, 4 << 20
)

// Get implements store.KV. While the database is away, it waits.
func (db *DB) Get(ctx context.Context, key []byte) ([]byte, error) {
	var value []byte
	err := db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT v FROM "+db.schema+"."+tableNames[tableOf(key)]+" WHERE k = $1", key).Scan(&value)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("key %q: %w", key, flawless.NotFound)
	case err != nil:
		return nil, fmt.Errorf("key %q: %w", key, err)
	case value == nil:
		value = []byte{}
	}
	return value, nil
}

// Scan implements store.KV. It reads pages, each from a snapshot of its own, and occupies no connection while its caller
// works.
func (db *DB) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		r.From, r.To = bytes.Clone(r.From), bytes.Clone(r.To)
		limit, size := firstRows, firstBytes
		for {
			if r.Limit > 0 {
				limit = min(limit, r.Limit)
			}
			items, more, err := db.page(ctx, r, limit, size)
			if err != nil {
				yield(store.Item{}, fmt.Errorf("reading a range of keys: %w", err))
				return
			}
			var last []byte
			if len(items) > 0 {
				last = bytes.Clone(items[len(items)-1].Key) // callers may change what they get
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			if r.Limit > 0 {
				if r.Limit -= len(items); r.Limit == 0 {
					return
				}
			}
			if !more {
				return
			}
			if r.Reverse {
				r.To = last
			} else {
				r.From = append(last, 0)
			}
			limit, size = laterRows, laterBytes
		}
	}
}

// page reads the next items of a range, and reports whether its snapshot had more.
func (db *DB) page(ctx context.Context, r store.Range, limit, size int) (items []store.Item, more bool, err error) {
	all := spans(r)
	if len(all) == 0 {
		return nil, false, nil
	}
	sql, args := pageQuery(db.schema, all, r.Reverse)
	args = append(args, limit+1, size)
	err = db.read(ctx, func(ctx context.Context) error {
		items, more = items[:0], false
		rows, err := db.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var it store.Item
			if err := rows.Scan(&it.Key, &it.Value); err != nil {
				return err
			}
			if more = more || len(items) == limit || it.Value == nil; !more {
				items = append(items, it)
			}
		}
		return rows.Err()
	})
	return items, more, err
}

// pageQuery returns the query for a page of spans, without its last arguments: the number of rows, and the bytes of
// values after which rows have none. The size of a value is known without reading it.
func pageQuery(schema string, all []span, reverse bool) (string, []any) {
	var b strings.Builder
	var args []any
	arg := func(k []byte) string {
		args = append(args, append([]byte{}, k...))
		return fmt.Sprintf("$%d", len(args))
	}
	order := "k"
	if reverse {
		order = "k DESC"
	}
	limit := fmt.Sprintf("$%d", 1+bounds(all))
	for i, s := range all {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&b, "(SELECT k, v FROM %s.%s WHERE k >= %s", schema, tableNames[s.table], arg(s.from))
		if s.to != nil {
			fmt.Fprintf(&b, " AND k < %s", arg(s.to))
		}
		fmt.Fprintf(&b, " ORDER BY %s LIMIT %s)", order, limit)
	}
	from := fmt.Sprintf("(%s) AS q", b.String())
	if len(all) > 1 {
		from = fmt.Sprintf("(SELECT k, v FROM %s ORDER BY %s LIMIT %s) AS q", from, order, limit)
	}
	return fmt.Sprintf("SELECT k, CASE WHEN sum(octet_length(v)) OVER (ORDER BY %s ROWS UNBOUNDED PRECEDING) - octet_length(v) < $%d THEN v END FROM %s ORDER BY %s",
		order, 2+bounds(all), from, order), args
}

// bounds returns the number of bounds of spans.
func bounds(all []span) (n int) {
	for _, s := range all {
		if n++; s.to != nil {
			n++
		}
	}
	return n
}

// read calls do until it does not fail because of the connection or another transaction. do must be repeatable.
func (db *DB) read(ctx context.Context, do func(ctx context.Context) error) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.queue.settle(ctx); err != nil {
			return err
		}
		one, cancel := context.WithTimeout(ctx, db.o.Patience)
		err := do(one)
		cancel()
		switch {
		case err == nil, errors.Is(err, pgx.ErrNoRows):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case db.Failed() != nil:
			return db.Failed()
		case db.closing.Load(), db.stopped.Err() != nil:
			return errClosed
		case errors.Is(err, Lost):
			return db.fail(err)
		}
		if k := classify(err); k == refused || k == noSpace {
			return fmt.Errorf("the database refuses it: %s", reason(err))
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		case <-db.stopped.Done():
		}
	}
}
