package engine

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/value"
)

func schemaOf(text string) error {
	l := &loading{schemas: map[string]*value.Schema{}}
	_, err := l.schema(flawless.Workflow{Name: "w", Input: []byte(text)})
	return err
}

// TestHostileSchemas: a schema reaches nothing outside of itself, and cannot multiply without end.
func TestHostileSchemas(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(outside.Close)
	doubling := func(n int) string {
		var defs []string
		for i := range n {
			defs = append(defs, fmt.Sprintf(`"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`, i, i+1, i+1))
		}
		return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s,"d%d":{"type":"object"}}}`, strings.Join(defs, ","), n)
	}
	for name, row := range map[string]struct {
		schema  string
		refused bool
	}{
		"a reference to a server":      {`{"$ref":"` + outside.URL + `/schema"}`, true},
		"a meta schema on a server":    {`{"$schema":"` + outside.URL + `/schema"}`, true},
		"a reference to a file":        {`{"$ref":"file:///etc/passwd"}`, true},
		"definitions that double":      {doubling(40), true},
		"members that double":          {strings.Replace(doubling(40), `"$ref":"#/$defs/d0"`, `"properties":{"a":{"$ref":"#/$defs/d0"}}`, 1), true},
		"a pattern that multiplies":    {`{"pattern":"((a{1000}){1000}){1000}"}`, true},
		"a few definitions":            {doubling(5), false},
		"a schema of a tree":           {`{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}}}`, false},
		"a pattern that backtracks":    {`{"pattern":"^(a+)+$"}`, false},
		"a schema that is only itself": {`{"$ref":"#"}`, false},
	} {
		if err := schemaOf(row.schema); row.refused != errors.Is(err, flawless.Refused) || err != nil && !row.refused {
			t.Errorf("%s: %v, want it refused: %v", name, err, row.refused)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("a schema made %d requests", n)
	}
}

// TestARefusedModuleTakesNoMemory adds modules that are refused after they were compiled, and removes
// one that was added.
func TestARefusedModuleTakesNoMemory(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	loaded := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.modules)
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

// FuzzSchema: no schema makes the compiler panic, and an error is a refusal.
func FuzzSchema(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"pattern":"^a+$"}}}`)
	f.Add(`{"allOf":[{"$ref":"#"}],"if":{"not":{}},"dependentSchemas":{"a":{}}}`)
	f.Add(`{"$schema":"http://json-schema.org/draft-04/schema#","dependencies":{"a":["b"],"c":{}},"items":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := schemaOf(text); err != nil && !errors.Is(err, flawless.Refused) {
			t.Errorf("an error of no class: %v", err)
		}
	})
}
