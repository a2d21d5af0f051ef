package postgres

import (
	"bytes"

	"github.com/flawless-engine/flawless/internal/store"
)

// table is one of the tables for keys and values. They have the same columns, and differ in how they are stored.
type table int

const (
	rows    table = iota // small rows that come, change and go: heads, indexes, leases
	records              // logs, which are written once
	blobs                // large values that were compressed before, or that few read
	tables
)

var tableNames = [tables]string{rows: "rows", records: "records", blobs: "blobs"}

// families says which table has the keys that begin with a byte; rows has all others. This is all that the package
// knows of keys.
var families = []struct {
	first byte
	table table
}{
	{'r', records},
	{'b', blobs},
	{'d', blobs},
	{'f', blobs},
}

func tableOf(key []byte) table {
	if len(key) > 0 {
		for _, f := range families {
			if f.first == key[0] {
				return f.table
			}
		}
	}
	return rows
}

// span is a range of keys that are in one table.
type span struct {
	table    table
	from, to []byte // to is exclusive; nil is the end
}

// spans splits a range by tables, in the order of keys.
func spans(r store.Range) (all []span) {
	from := r.From
	for {
		s := span{table: tableOf(from), from: from, to: r.To}
		if end := s.end(); end != nil && (r.To == nil || bytes.Compare(end, r.To) < 0) {
			s.to = end
		}
		if s.to != nil && bytes.Compare(s.from, s.to) >= 0 {
			return all
		}
		all = append(all, s)
		if s.to == nil || r.To != nil && bytes.Equal(s.to, r.To) {
			return all
		}
		from = s.to
	}
}

// end returns the first byte after the beginning of s whose keys are in another table, or nil if there is none.
func (s *span) end() []byte {
	first := 0
	if len(s.from) > 0 {
		first = int(s.from[0])
	}
	for b := first + 1; b <= 0xff; b++ {
		if tableOf([]byte{byte(b)}) != s.table {
			return []byte{byte(b)}
		}
	}
	return nil
}
