package pebble

import (
	"bytes"

	"github.com/flawless-engine/flawless/internal/store"
)

// held are expectations that held when they were last looked up, and whose keys no batch has
// changed since. All writes of an owner expect the same lease: it is not read for each of them.
type held struct {
	items [4]store.Item // copies; a key that is empty marks a place that is free
	next  int           // the place to be taken next
}

// longest is how large a value that is remembered may be.
const longest = 1 << 10

func (h *held) has(want store.Item) bool {
	i := h.find(want.Key)
	return i >= 0 && want.Value != nil && bytes.Equal(h.items[i].Value, want.Value)
}

func (h *held) remember(want store.Item) {
	if len(want.Key) == 0 || len(want.Key)+len(want.Value) > longest {
		return
	}
	at := &h.items[h.next]
	h.next = (h.next + 1) % len(h.items)
	at.Key = append(at.Key[:0], want.Key...)
	at.Value = append(at.Value[:0], want.Value...)
}

func (h *held) forget(key []byte) {
	if i := h.find(key); i >= 0 {
		h.items[i].Key = h.items[i].Key[:0]
	}
}

// find returns the place of key, or -1.
func (h *held) find(key []byte) int {
	for i := range h.items {
		if len(key) > 0 && bytes.Equal(h.items[i].Key, key) {
			return i
		}
	}
	return -1
}
