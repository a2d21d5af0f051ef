package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestRepeatedRequestHasOneEffect sends requests again whose answers were lost, also to the next owner.
func TestRepeatedRequestHasOneEffect(t *testing.T) {
	t.Parallel()
	type id struct{}
	by := func(request string) context.Context { return context.WithValue(t.Context(), id{}, request) }
	o := Options{Request: func(ctx context.Context) string { s, _ := ctx.Value(id{}).(string); return s }}
	kv := mem.New()
	e := open(t, kv, o)
	begun := mustStart(t, e, "obey", nil, "run")
	if _, err := e.Terminate(by("one"), begun.ID, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	again := func(e *Engine) {
		t.Helper()
		if r, err := e.Terminate(by("one"), "run", flawless.Cancel{}); err != nil || r.Status != flawless.Terminated {
			t.Errorf("the same request again gives %+v, %v", r, err)
		}
		if _, err := e.Terminate(by("two"), "run", flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
			t.Errorf("another request gives %v", err)
		}
	}
	again(e)
	e.Kill()
	again(open(t, kv, o))
}
