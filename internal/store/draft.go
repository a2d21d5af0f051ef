package store

import (
	"bytes"

	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// maxKept is the maximum size of a buffer that is reused; maxKeys is the maximum growth of the buffer for keys.
const (
	maxKept = 1 << 18
	maxKeys = 1 << 14
)

// draft is a batch that is being built, with the memory for its keys and values. Drafts are reused, so that a write
// allocates almost nothing.
type draft struct {
	batch Batch
	text  bytes.Buffer // for values; slices of it stay valid when the buffer grows
	keys  []byte
	epoch uint64 // of the shard that is written
	slot  *tally.Slot
}

func (s *Store) draft() *draft { return s.drafts.Get().(*draft) }

func (s *Store) release(d *draft) {
	if d.text.Cap() > maxKept || cap(d.keys) > maxKept {
		return
	}
	d.text.Reset()
	d.keys = d.keys[:0]
	clear(d.batch.Expect)
	clear(d.batch.Set)
	clear(d.batch.Delete)
	d.batch = Batch{Expect: d.batch.Expect[:0], Set: d.batch.Set[:0], Delete: d.batch.Delete[:0]}
	s.drafts.Put(d)
}

// key starts a key in the memory of the draft; keep completes it.
func (d *draft) key(f key.Family) key.Key { return append(key.Key(d.keys[len(d.keys):]), byte(f)) }

func (d *draft) keep(k key.Key) key.Key {
	used, free := len(d.keys), cap(d.keys)-len(d.keys)
	switch {
	case len(k) > free: // earlier keys stay in the old buffer
		d.keys = append(make([]byte, 0, max(2*len(k), min(2*cap(d.keys), maxKeys))+256), k...)
		return key.Key(d.keys[:len(k):len(k)])
	case len(k) > 0 && &d.keys[:cap(d.keys)][used] != &k[0]: // the key was built elsewhere
		copy(d.keys[used:cap(d.keys)], k)
	}
	d.keys = d.keys[:used+len(k)]
	return key.Key(d.keys[used : used+len(k) : used+len(k)])
}

func (d *draft) absent(k key.Key) { d.batch.Expect = append(d.batch.Expect, Item{Key: k}) }
func (d *draft) delete(k key.Key) { d.batch.Delete = append(d.batch.Delete, d.keep(k)) }
func (d *draft) put(k key.Key) {
	d.batch.Set = append(d.batch.Set, Item{Key: d.keep(k), Value: []byte{}})
}
func (d *draft) since(n int) []byte {
	b := d.text.Bytes()
	return b[n:len(b):len(b)]
}

// expect adds the expectation that k has the value v.
func (d *draft) expect(c codec.Codec, k key.Key, v any) error {
	n := d.text.Len()
	if err := c.Encode(&d.text, v); err != nil {
		return err
	}
	d.batch.Expect = append(d.batch.Expect, Item{Key: d.keep(k), Value: d.since(n)})
	return nil
}

// set adds the value v for k.
func (d *draft) set(c codec.Codec, k key.Key, v any) error {
	n := d.text.Len()
	if err := c.Encode(&d.text, v); err != nil {
		return err
	}
	d.batch.Set = append(d.batch.Set, Item{Key: d.keep(k), Value: d.since(n)})
	return nil
}

// setRaw adds bytes for k, without encoding them.
func (d *draft) setRaw(c codec.Codec, k key.Key, payload []byte) error {
	n := d.text.Len()
	if err := c.AppendRaw(&d.text, payload); err != nil {
		return err
	}
	d.batch.Set = append(d.batch.Set, Item{Key: d.keep(k), Value: d.since(n)})
	return nil
}

// change replaces the value of k; nil means that there is none.
func change[T any](c codec.Codec, d *draft, k key.Key, before, after *T) error {
	if before == nil {
		d.absent(k)
	} else if err := d.expect(c, k, before); err != nil {
		return err
	}
	if after == nil {
		d.delete(k)
		return nil
	}
	return d.set(c, k, after)
}
