// Package key makes and reads the keys of the database, format 2.
//
// It hides the bytes of keys, and which shard a run or a name belongs to. It guarantees that no key is a prefix of another
// one, that keys sort by family and then by their parts, texts by their bytes whatever follows, times from the past to the
// future, and that the rows of one id cannot be mistaken for those of another. It reads and writes nothing, and does not
// know what the values are.
//
// [Family] lists all keys; docs/internals/formats.md describes them together with their values.
package key

import (
	"encoding/binary"
	"math"
	"time"
)

// Key is a key that is being built, or a prefix of keys. Its methods append a part, as append does: they may write into the
// memory behind k, so clone a key before you continue it in two ways.
type Key []byte

// Text appends a text, which may have any bytes: byte 00 becomes 00 FF, and 00 01 is the end.
func (k Key) Text(s string) Key {
	for i := range len(s) {
		if k = append(k, s[i]); s[i] == 0 {
			k = append(k, 0xff)
		}
	}
	return append(k, 0, 1)
}

// Number appends 8 bytes that sort like n.
func (k Key) Number(n uint64) Key { return binary.BigEndian.AppendUint64(k, n) }

// Moment appends 8 bytes that sort like ns, Unix nanoseconds.
func (k Key) Moment(ns int64) Key { return k.Number(uint64(ns) ^ 1<<63) }

// Time appends a time as [Key.Moment] does, see [Nanoseconds].
func (k Key) Time(t time.Time) Key { return k.Moment(Nanoseconds(t)) }

// Shard appends a shard. [ShardOfCaps] has no rows, so it has no place in keys other than [OfLease].
func (k Key) Shard(n Shard) Key { return append(k, byte(n)) }

// End returns the first key after all keys with the prefix k, in memory of its own, or nil if there is none.
func (k Key) End() Key {
	for i := len(k) - 1; i >= 0; i-- {
		if k[i] != 0xff {
			e := append(Key(nil), k[:i+1]...)
			e[i]++
			return e
		}
	}
	return nil
}

// Nanoseconds returns a time as keys contain it. Times out of range become the first or the last one.
func Nanoseconds(t time.Time) int64 {
	switch y := t.Year(); {
	case y < 1678:
		return math.MinInt64
	case y > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}
