package storetest

import (
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

func testGet(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	_, err := kv.Get(t.Context(), []byte("a"))
	code(t, "a key that is not there", err, flawless.NotFound)

	apply(t, kv, set(item("a", "1"), item("empty", ""), item("\x00\xff", "bytes")))
	for _, it := range []store.Item{item("a", "1"), item("empty", ""), item("\x00\xff", "bytes")} {
		value, err := kv.Get(t.Context(), it.Key)
		if err != nil || string(value) != string(it.Value) {
			t.Errorf("Get(%q) = %q, %v, want %q", it.Key, value, err, it.Value)
		}
	}

	value, err := kv.Get(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'x' // the caller owns the value
	apply(t, kv, set(item("a", "2")))
	if string(value) != "x" {
		t.Errorf("the stored value changed to %q", value)
	}
	apply(t, kv, &store.Batch{Delete: [][]byte{[]byte("a")}})
	_, err = kv.Get(t.Context(), []byte("a"))
	code(t, "a key that was deleted", err, flawless.NotFound)
}
