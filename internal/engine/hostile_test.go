package engine

import (
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestRefusedModuleTakesNoMemory adds modules that are refused after they were compiled, and removes
// one that was added.
func TestRefusedModuleTakesNoMemory(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	loaded := func() int {
		return e.library.Count()
	}
	before := loaded()
	if _, _, err := e.AddModule(t.Context(), "", nameless, nil); !errors.Is(err, flawless.Refused) {
		t.Errorf("a module without a name: %v, want %s", err, flawless.Refused)
	}
	if n := loaded(); n != before {
		t.Errorf("%d modules are loaded after one was refused, %d before", n, before)
	}
	if _, _, err := e.AddModule(t.Context(), "named", nameless, nil); err != nil {
		t.Fatal(err)
	}
	if n := loaded(); n != before+1 {
		t.Errorf("%d modules are loaded after one was added, %d before it", n, before)
	}
	if _, err := e.RemoveModule(t.Context(), "named", 0); err != nil {
		t.Fatal(err)
	}
	if n := loaded(); n != before {
		t.Errorf("%d modules are loaded after one was removed, %d before", n, before)
	}
}

// nameless is a module of one workflow that does not say how it is called.
//
//	(import "flawless" "describe" (func (param i32 i32)))
//	(func (export "flawless_describe") (export "flawless_start") i32.const 0 i32.const 21 call 0)
//	(data (i32.const 0) "{\"workflows\":[{\"name\":\"w\"}]}")
var nameless = func() []byte {
	const manifest = `{"workflows":[{"name":"w"}]}`
	section := func(id byte, b string) string { return string([]byte{id, byte(len(b))}) + b }
	name := func(s string) string { return string([]byte{byte(len(s))}) + s }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x02\x60\x02\x7f\x7f\x00\x60\x00\x00") +
		section(2, "\x01"+name("flawless")+name("describe")+"\x00\x00") +
		section(3, "\x01\x01") +
		section(5, "\x01\x00\x01") +
		section(7, "\x03"+name("flawless_describe")+"\x00\x01"+name("flawless_start")+"\x00\x01"+name("memory")+"\x02\x00") +
		section(10, "\x01"+name("\x00\x41\x00\x41"+string([]byte{byte(len(manifest))})+"\x10\x00\x0b")) +
		section(11, "\x01\x00\x41\x00\x0b"+name(manifest)))
}()
