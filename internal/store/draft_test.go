package store

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/store/key"
)

func TestDraftDoesNotGrowWithUse(t *testing.T) {
	t.Parallel()
	d := new(draft)
	for n := range 1000 {
		d.delete(key.Image.Of(strings.Repeat("k", n%50+1)))
		d.put(d.key(key.Active).Text("id"))
		if k := string(d.batch.Delete[0]); k != string(key.Image.Of(strings.Repeat("k", n%50+1))) {
			t.Fatalf("the key is %q", k)
		}
		d.keys, d.batch.Delete, d.batch.Set = d.keys[:0], d.batch.Delete[:0], d.batch.Set[:0]
	}
	if cap(d.keys) > 4096 {
		t.Errorf("the draft has %d bytes for keys", cap(d.keys))
	}
}
