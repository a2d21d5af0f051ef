package library

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
)

func schemaOf(text string) error {
	_, err := newModule().schema(flawless.Workflow{Name: "w", Input: []byte(text)})
	return err
}

// TestHostileSchemasAreRefused checks that a schema cannot refer to anything outside of itself or take exponential
// time.
func TestHostileSchemasAreRefused(t *testing.T) {
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

// FuzzSchema checks that no schema makes the compiler panic, and that an error is a refusal.
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
