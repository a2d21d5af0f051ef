package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

func testModules(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	_, err := s.Module(t.Context(), "m")
	code(t, "no such module", err, flawless.NotFound)
	_, err = s.Binary(t.Context(), "d")
	code(t, "no such binary", err, flawless.NotFound)

	add := func(name, digest string, version int, isNew bool) {
		t.Helper()
		m := flawless.Module{Name: name, Digest: digest, Size: 3, Added: start, Manifest: flawless.Manifest{
			SDK: "go/1", Workflows: []flawless.Workflow{{Name: "w", Input: []byte(`{"type":"object"}`)}},
		}}
		got, added, err := s.AddModule(t.Context(), l, m, []byte("bytes of "+digest))
		if err != nil {
			t.Fatal(err)
		}
		m.Version = version
		same(t, "module", m, got)
		same(t, "whether it is new", isNew, added)
	}
	add("m", "d1", 1, true)
	add("m", "d1", 1, false)
	add("m", "d2", 2, true)
	add("m", "d1", 3, true)
	add("mm", "d1", 1, true)
	add("a", "d3", 1, true)

	versions, err := s.Module(t.Context(), "m")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range versions {
		got = append(got, fmt.Sprint(m.Name, m.Version, m.Digest))
	}
	same(t, "versions of m", []string{"m3d1", "m2d2", "m1d1"}, got)
	newest, err := s.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, m := range newest {
		got = append(got, fmt.Sprint(m.Name, m.Version))
	}
	same(t, "modules", []string{"a1", "m3", "mm1"}, got)
	bin, err := s.Binary(t.Context(), "d2")
	if err != nil || string(bin) != "bytes of d2" {
		t.Errorf("binary %q, %v", bin, err)
	}
	_, _, err = s.AddModule(t.Context(), l, flawless.Module{Name: "x"}, nil)
	code(t, "a module without digest", err, flawless.Invalid)

	// Concurrent additions get different versions.
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, added, err := s.AddModule(t.Context(), l, flawless.Module{Name: "race", Digest: fmt.Sprint(i)}, nil); err != nil || !added {
				t.Errorf("adding concurrently: %v, %v", added, err)
			}
		})
	}
	all.Wait()
	versions, err = s.Module(t.Context(), "race")
	if err != nil || len(versions) != 8 || versions[0].Version != 8 {
		t.Errorf("versions after adding concurrently: %+v, %v", versions, err)
	}
}

// testLargeModules checks that modules are split into small values, which do not slow down reading their neighbours.
func testLargeModules(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	under := func() (n, most int) {
		for item, err := range kv.Scan(t.Context(), store.Range{From: []byte("b"), To: []byte("c")}) {
			if err != nil {
				t.Fatal(err)
			}
			n, most = n+1, max(most, len(item.Value))
		}
		return n, most
	}
	for n, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 1 << 20} {
		bin := bytes.Repeat([]byte{1, 2, 3, 4, 5}, size)[:size]
		digest := fmt.Sprint("large", n)
		if _, _, err := s.AddModule(t.Context(), l, flawless.Module{Name: "large", Digest: digest}, bin); err != nil {
			t.Fatal(err)
		}
		got, err := s.Binary(t.Context(), digest)
		if err != nil || !bytes.Equal(got, bin) {
			t.Errorf("of %d bytes, %d were read, %v", size, len(got), err)
		}
		if keys, most := under(); most > 33<<10 || keys != max(1, (size+32<<10-1)/(32<<10)) {
			t.Errorf("%d bytes are under %d keys, and the largest value has %d", size, keys, most)
		}
		mark, err := s.Reserve(t.Context(), l, []string{digest}, true, func(store.Mark) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveModule(t.Context(), l, "large", 1, &mark); err != nil {
			t.Fatal(err)
		}
		if keys, _ := under(); keys != 0 {
			t.Errorf("of %d bytes, %d keys remain", size, keys)
		}
	}
}

// testDamage damages each stored value of a run and a module in turn.
func testDamage(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	h := head("a", 0)
	write(t, s, l, store.Write{ID: "a", New: true, After: &h, Entries: entries(0), Data: []byte("1")})
	write(t, s, l, store.Write{ID: "a", Seq: 1, Entries: entries(1)})
	write(t, s, l, store.Write{ID: "a", Seq: 2, Entries: entries(2)})
	if _, _, err := s.AddModule(t.Context(), l, flawless.Module{Name: "m", Digest: "d"}, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	second := append(keyOf('r', "a"), 0, 0, 0, 0, 0, 0, 0, 1)
	reads := []struct {
		name string
		key  []byte
		read func() error
	}{
		{"head", keyOf('h', "a"), func() error { _, err := s.Head(t.Context(), "a"); return err }},
		{"head in a list", keyOf('h', "a"), func() error { _, _, err := s.Runs(t.Context(), flawless.Filter{}); return err }},
		{"data", keyOf('d', "a"), func() error { _, err := s.Data(t.Context(), "a"); return err }},
		{"record", second, func() error { return readLog(t, s, "a") }},
		{"lease", []byte("l\x00\x00"), func() error { _, err := s.Claim(t.Context(), "x"); return err }},
		{"module", []byte("vm\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01"), func() error { _, err := s.Module(t.Context(), "m"); return err }},
		{"module in a list", []byte("vm\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01"), func() error { _, err := s.Modules(t.Context()); return err }},
		{"binary", []byte("bd\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"), func() error { _, err := s.Binary(t.Context(), "d"); return err }},
	}
	for _, r := range reads {
		good, err := kv.Get(t.Context(), r.key)
		if err != nil {
			t.Fatalf("%s is not under its key: %v", r.name, err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		apply(t, kv, set(store.Item{Key: r.key, Value: bad}))
		err = r.read()
		code(t, "damaged "+r.name, err, flawless.Damaged)
		if r.name == "record" && !strings.Contains(err.Error(), "record 1") {
			t.Errorf("the error does not name the record: %v", err)
		}
		apply(t, kv, set(store.Item{Key: r.key, Value: good}))
		if err := r.read(); err != nil {
			t.Errorf("%s after it was restored: %v", r.name, err)
		}
	}
	apply(t, kv, &store.Batch{Delete: [][]byte{second}})
	code(t, "a record that is missing", readLog(t, s, "a"), flawless.Damaged)
}

func readLog(t *testing.T, s *store.Store, id string) error {
	t.Helper()
	for _, err := range s.Log(t.Context(), id, 0) {
		if err != nil {
			return err
		}
	}
	return nil
}
