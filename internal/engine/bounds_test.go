package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestOptionBounds: a bound is in the engine alone, so that it is the same for every SDK. What the SDK hands
// over at a bound is taken, and what is beyond it is refused with the bound.
func TestOptionBounds(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	r := mustEnd(t, e, mustStart(t, e, "bounds", out.URL, "").ID)
	var got map[string]string
	if err := json.Unmarshal(r.Output, &got); err != nil {
		t.Fatalf("%v; it is %+v", err, r.Failure)
	}
	want := map[string]string{
		"attempts 1001": "give 1 to 1000", "factor 1000": "give 1 to 100", "factor 0.5": "give 1 to 100", "factor largest": "give 1 to 100",
		"jitter 1.1": "give 0 to 1", "initial longest": "give 0 to 86400000", "max longest": "give 1 to 86400000", "statuses 99": "from 200 to 599",
		"timeout longest": "give 1 to 86400000", "limit beyond": "give 1 to 1073741824 bytes", "redirects beyond": "give 0 to 100",
		"expires longest": "deadline exceeded", "expires shortest": "expired",
	}
	for name, text := range got {
		if want[name] == "" || !strings.Contains(text, want[name]) {
			t.Errorf("%s: %q, want %q", name, text, want[name])
		}
		delete(want, name)
	}
	for name, text := range want {
		t.Errorf("%s: it was taken, want %q", name, text)
	}
	if r.Status != flawless.Completed {
		t.Errorf("it is %s", r.Status)
	}
}
