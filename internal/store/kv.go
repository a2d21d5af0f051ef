package store

import (
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// What the store needs of a database, see package kv.
type (
	KV    = kv.KV
	Item  = kv.Item
	Range = kv.Range
	Batch = kv.Batch

	Numbered = kv.Numbered
	Changer  = kv.Changer
	Position = kv.Position
	Loss     = kv.Loss
	Rivals   = kv.Rivals
)

// What a scan is sure to yield from one snapshot.
const (
	SnapshotItems = kv.SnapshotItems
	SnapshotBytes = kv.SnapshotBytes
)

// withPrefix returns the range of all keys with the prefix k.
func withPrefix(k key.Key) Range { return Range{From: k, To: k.End()} }
