package engine

import "github.com/flawless-engine/flawless/internal/store"

// rowOf returns a key, or prefix of keys, of a run in the store.
func rowOf(family byte, run string) []byte {
	return append([]byte{family, byte(store.ShardOf(run))}, run+"\x00\x01"...)
}
