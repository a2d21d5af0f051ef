package guest

import (
	"context"
	"os"
	"reflect"
	"testing"
)

// TestAPreparedModuleIsTheSame loads a module as a server does that comes up again.
func TestAPreparedModuleIsTheSame(t *testing.T) {
	t.Parallel()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var outs []Out
	var hashes [][32]byte
	for _, o := range []Options{{}, {}, {copied: true}, {Interpreter: true}} {
		o.CacheDir = dir
		r := newRuntime(t, o)
		m, err := r.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.recall(m.digest) == nil {
			t.Fatal("nothing is kept")
		}
		again, same := life(t, m, 1)
		if outs == nil {
			outs, hashes = again, same
		}
		if !reflect.DeepEqual(outs, again) || !reflect.DeepEqual(hashes, same) {
			t.Errorf("%+v: a run goes another way", o)
		}
		if m.Manifest().SDK != "test" || !m.Shared() {
			t.Errorf("%+v: manifest %+v, shared %v", o, m.Manifest(), m.Shared())
		}
		_ = m.Close(context.Background())
	}
}

func TestWhatWasPreparedAndDamagedIsNotUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := hand("").add("flawless_start")
	m := loadProgram(t, p, Options{CacheDir: dir})
	file := m.rt.preparedFile(m.digest)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": {}, "three bytes": whole[:3], "half of it": whole[:len(whole)/2],
		"a flipped bit": append([]byte{whole[0] ^ 1}, whole[1:]...)} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m.rt.recall(m.digest) != nil {
			t.Errorf("%s is taken for what was prepared", name)
		}
		loadProgram(t, p, Options{CacheDir: dir})
		if m.rt.recall(m.digest) == nil {
			t.Errorf("after %s it is not kept anew", name)
		}
	}
}
