package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestUndoWorksThroughChild cancels a run before and while its saga is undone by a child. A cancellation
// does not reach the child, as it does not reach the undo; a termination does.
func TestUndoWorksThroughChild(t *testing.T) {
	t.Parallel()
	cancel := func(t *testing.T, e *Engine) error {
		_, err := e.Cancel(t.Context(), "r", flawless.Cancel{Who: "ann"})
		return err
	}
	fail := func(t *testing.T, e *Engine) error {
		_, err := e.Send(t.Context(), "r", flawless.Message{Type: "fail", Body: []byte("1")})
		return err
	}
	terminate := func(t *testing.T, e *Engine) error {
		_, err := e.Terminate(t.Context(), "r", flawless.Cancel{Who: "ann"})
		return err
	}
	for _, row := range []struct {
		name  string
		first func(*testing.T, *Engine) error // has the step undone
		then  func(*testing.T, *Engine) error // while the child is at it, nil is nothing
		crash bool
		ends  flawless.Status
		seen  string
	}{
		{"a cancellation", cancel, nil, false, flawless.Cancelled, "/charge /refund"},
		{"a cancellation, and a crash", cancel, nil, true, flawless.Cancelled, "/charge /refund"},
		{"a failure", fail, nil, false, flawless.Failed, "/charge /refund"},
		{"a cancellation while it is undone", fail, cancel, false, flawless.Failed, "/charge /refund"},
		{"a termination while it is undone", cancel, terminate, false, flawless.Terminated, "/charge"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				var outside booking
				kv, o := mem.New(), Options{Kinds: outside.kinds()}
				e := open(t, kv, o)
				defer func() { e.Kill() }()
				mustStart(t, e, "amend", map[string]any{"url": "http://outside.test", "n": 3600}, "r")
				synctest.Wait()
				for _, do := range []func(*testing.T, *Engine) error{row.first, row.then} {
					if do == nil {
						continue
					}
					if err := do(t, e); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if row.crash {
					e.Kill()
					e = open(t, kv, o)
				}
				time.Sleep(2 * time.Hour)
				r, err := e.Run(t.Context(), "r")
				if err != nil || r.Status != row.ends || len(r.Unresolved) > 0 {
					t.Errorf("it is %s %+v %+v, %v", r.Status, r.Failure, r.Unresolved, err)
				}
				if got := outside.String(); got != row.seen {
					t.Errorf("the outside saw %s, want %s", got, row.seen)
				}
				if got, err := e.Replay(t.Context(), "r", nil); err != nil || got.Divergence != nil {
					t.Errorf("the replay: %+v, %v", got.Divergence, err)
				}
			})
		})
	}
}
