package engine

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// busy answers with these statuses, one after another, and with a wish to be left alone for a while
// where it is given one. It notes when it was asked.
type busy struct {
	answers []effect.Result
	at      []time.Time
	timeout []int64
}

func (b *busy) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(_ context.Context, t effect.Attempt) effect.Result {
				var head struct {
					TimeoutMS int64 `json:"timeout_ms"`
				}
				_ = json.Unmarshal(t.Call.Head, &head)
				b.at, b.timeout = append(b.at, time.Now()), append(b.timeout, head.TimeoutMS)
				r := b.answers[0]
				b.answers = b.answers[1:]
				return r
			}
		}
	}
	return kinds
}

func status(code int, again bool, after time.Duration) effect.Result {
	a, _ := effect.ResponseAnswer(0, code, nil)
	return effect.Result{Outcome: effect.Answered, Answer: a, Again: again, After: after}
}

// TestRetriesWait: the policy says how long, the server may ask for longer, and a restart in between
// changes nothing.
func TestRetriesWait(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		b := &busy{answers: []effect.Result{status(503, true, 90*time.Second), status(503, true, 0), status(503, true, time.Millisecond), status(200, false, 0)}}
		e := open(t, kv, Options{Kinds: b.kinds()})
		id := mustStart(t, e, "insist", map[string]any{"url": "https://api.example.com", "n": 5}, "").ID
		time.Sleep(30 * time.Second)
		e.Kill()
		e = open(t, kv, Options{Kinds: b.kinds()})
		if r := mustEndAfter(t, e, id, time.Hour); r.Status != flawless.Completed || string(r.Output) != "200" {
			t.Errorf("it is %+v %+v", r, r.Failure)
		}
		var waits []time.Duration
		for i := range b.at[1:] {
			waits = append(waits, b.at[i+1].Sub(b.at[i]))
		}
		if want := []time.Duration{90 * time.Second, 2 * time.Second, 4 * time.Second}; !slices.EqualFunc(waits, want, func(got, want time.Duration) bool {
			return got <= want && got >= want*7/10
		}) || waits[0] != want[0] {
			t.Errorf("it waited %v, want %v", waits, want)
		}
		if slices.Min(b.timeout) != 5000 || slices.Max(b.timeout) != 5000 {
			t.Errorf("the time limits of the tries are %v", b.timeout)
		}
		e.Kill()
	})
}

func TestRetriesEnd(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		b := &busy{answers: []effect.Result{status(503, true, 0), status(503, true, 0)}}
		e := open(t, mem.New(), Options{Kinds: b.kinds()})
		id := mustStart(t, e, "insist", map[string]any{"url": "https://api.example.com", "n": 2}, "").ID
		if r := mustEndAfter(t, e, id, time.Hour); r.Status != flawless.Completed || string(r.Output) != "503" || len(b.at) != 2 {
			t.Errorf("after %d tries it is %+v", len(b.at), r)
		}
		e.Kill()
	})
}
