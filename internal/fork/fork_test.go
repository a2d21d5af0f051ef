package fork

import (
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestAnswersThatAForkKeeps lists the answers that a log can have for an open call of the past.
func TestAnswersThatAForkKeeps(t *testing.T) {
	t.Parallel()
	kinds := map[string]*effect.Kind{}
	for _, k := range effect.Kinds(effect.Options{}) {
		kinds[k.Name] = &k
	}
	f := &Past{o: Options{Kinds: kinds}}
	failure := func(kind string) flawless.Answer { return effect.ErrorAnswer(2, kind, "why") }
	completed := effect.EndAnswer(flawless.Run{ID: "a.2", Status: flawless.Completed, Output: []byte("null")})
	for _, row := range []struct {
		name, kind, head string
		answer           flawless.Answer
		holds            bool
	}{
		{"a response", effect.HTTP, `{"method":"GET","url":"http://x.test"}`, flawless.Answer{Head: []byte(`{"status":200}`)}, true},
		{"not sent", effect.HTTP, `{"method":"GET","url":"http://x.test"}`, failure("not_sent"), true},
		{"withdrawn when its run ended", effect.HTTP, `{"method":"GET","url":"http://x.test"}`, failure("withdrawn"), false},
		{"in flight when its run was imported", effect.HTTP, `{"method":"GET","url":"http://x.test"}`, failure("imported"), false},
		{"the end of a child", effect.Spawn, `{"workflow":"w"}`, completed, true},
		{"the failure of a child", effect.Spawn, `{"workflow":"w"}`, failure("failed"), true},
		{"the start of a child, told to a parent that had ended", effect.Spawn, `{"workflow":"w"}`, effect.StartedAnswer("a.2"), false},
		{"the start of a detached child", effect.Spawn, `{"workflow":"w","detached":true}`, effect.StartedAnswer("a.2"), true},
		{"a deadlock with a child", effect.Spawn, `{"workflow":"w"}`, failure("deadlock"), false},
		{"the end of a run", effect.Await, `{"run":"b"}`, completed, true},
		{"a run that was cancelled", effect.Await, `{"run":"b"}`, failure("cancelled"), true},
		{"nobody waits for the end any more", effect.Await, `{"run":"b"}`, failure("ended"), false},
		{"a deadlock with a run", effect.Await, `{"run":"b"}`, failure("deadlock"), false},
		{"a hold", effect.State, `{"name":"s","op":"lock"}`, effect.ValueAnswer([]byte("1")), false},
		{"a value", effect.State, `{"name":"s","op":"get"}`, effect.ValueAnswer([]byte("1")), true},
		{"a message that was sent", effect.Send, `{"to":"b","type":"t"}`, flawless.Answer{Head: []byte("{}")}, true},
		{"a message that was received", effect.Receive, `{"type":"t"}`, flawless.Answer{Head: []byte(`{"id":"m"}`), Body: []byte("1")}, true},
		{"a promise that was settled", effect.Promise, `{"name":"p","secret":"s"}`, flawless.Answer{Head: []byte("{}"), Body: []byte("1")}, true},
		{"a promise that nobody settled in time", effect.Promise, `{"name":"p","secret":"s"}`, failure("expired"), true},
		{"a cancellation", effect.Cancelled, `{}`, effect.CancelAnswer(1, flawless.Cancel{}), false},
	} {
		c := flawless.Call{N: 2, Kind: row.kind, Head: []byte(row.head), Body: []byte("null")}
		if got := f.holds(c, flawless.Arrival{Answer: row.answer}); got != row.holds {
			t.Errorf("%s: it holds in a fork: %v, want %v", row.name, got, row.holds)
		}
	}
}
