package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestOutcomesAreLearnedLate cuts a node off from the database in the middle of calls, until another one has taken over. When
// it is connected again, it tells the other one what became of the calls: no person has to.
func TestOutcomesAreLearnedLate(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	kv := mem.New()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	over := newMesh(st)
	a := join(t, kv, "a", ttl, over)
	if _, _, err := a.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
		t.Fatal(err)
	}
	out := newOutside(t)
	early, late := make(chan struct{}), make(chan struct{})
	answerEarly, answerLate := sync.OnceFunc(func() { close(early) }), sync.OnceFunc(func() { close(late) })
	t.Cleanup(func() { answerEarly(); answerLate() })
	out.delay = func(path string) {
		switch path {
		case "/early", "/decided":
			<-early
		case "/late":
			<-late
		case "/broken":
			<-late
			panic(http.ErrAbortHandler)
		}
	}
	ids := []string{"early", "decided", "late", "broken"}
	for _, id := range ids {
		mustStart(t, a.Engine, "want", ops(op{"Post": out.URL + "/" + id}), id)
	}
	untilSo(t, "all requests were made", func() bool { return out.total() == len(ids) })

	a.wire.cut()
	b := join(t, kv, "b", ttl, over)
	balanced(t, b)
	is := func(id string, status flawless.Status, unseen bool) func() bool {
		return func() bool {
			r, err := b.Run(t.Context(), id)
			return err == nil && r.Status == status && slices.ContainsFunc(r.Unresolved, func(d flawless.Doubt) bool { return d.Unseen }) == unseen
		}
	}
	for _, id := range ids {
		untilSo(t, id+" is unresolved", is(id, flawless.Unresolved, true))
	}
	decide := func(id string, d flawless.Decision) error {
		r, err := b.Run(t.Context(), id)
		if err != nil {
			return err
		}
		d.Call = r.Unresolved[0].Call
		_, err = b.Resolve(t.Context(), id, d)
		return err
	}
	if err := decide("decided", flawless.Decision{Resolution: flawless.Tell, Text: "a person was faster"}); err != nil {
		t.Fatal(err)
	}
	if err := decide("broken", flawless.Decision{Resolution: flawless.Retry}); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("a retry without confirmation of a call that is being sent: %v", err)
	}
	answerEarly()
	untilSo(t, "a has an answer that it cannot log", func() bool { return a.runs.Counts().Answered == 2 })
	a.wire.mend()
	<-a.served // it was called dead
	a.Leave()
	joinAfter(t, kv, "a", ttl, a.outbox, over)
	untilSo(t, "the answer that came before is known", is("early", flawless.Completed, false))
	answerLate()
	untilSo(t, "the answer that came after is known", is("late", flawless.Completed, false))
	untilSo(t, "it is known that nothing is being sent", is("broken", flawless.Unresolved, false))
	brief, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !a.outbox.Empty(brief) {
		t.Error("the outbox is not empty")
	}
	if err := decide("broken", flawless.Decision{Resolution: flawless.Fail}); err != nil {
		t.Error(err)
	}
	if r, err := b.Run(t.Context(), "decided"); err != nil || r.Status != flawless.Failed {
		t.Errorf("the run that a person decided about is %+v, %v", r, err)
	}
	for _, id := range ids {
		if n := out.count("/" + id); n != 1 {
			t.Errorf("%s was requested %d times", id, n)
		}
	}
}
