package guest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// synchronous makes a call, waits for it, and finishes with its answer of 5 bytes.
func synchronous() *program {
	p := hand("httpone")
	return p.add("flawless_start",
		i32(scratchAt), p.call("flawless.call", textAt, 4, 0, 0, textAt+4, 3), store,
		p.call("flawless.wait", scratchAt, 1), drop,
		p.call("flawless.answer", 1, 1, scratchAt+64, 100), drop,
		p.call("flawless.finish", 1, scratchAt+64, 5))
}

func TestGuestWithoutSchedulerWaits(t *testing.T) {
	t.Parallel()
	m := loadProgram(t, synchronous(), Options{})
	var first [2][32]byte
	for k := range 2 {
		i := begin(t, m, "", 1)
		out := turn(t, i, In{Time: began})
		if len(out.Calls) != 1 || string(out.Calls[0].Body) != "one" || out.Ended != nil {
			t.Fatalf("first turn: %+v", out)
		}
		hashes := [2][32]byte{i.Hash()}
		out = turn(t, i, In{Time: began + 1})
		if len(out.Calls) != 0 || out.Ended != nil {
			t.Fatalf("a turn without answers: %+v", out)
		}
		out = turn(t, i, In{Time: began + 2, Answers: []flawless.Answer{{Call: 1, Body: []byte(`"yes"`)}}})
		if out.Ended == nil || string(out.Ended.Output) != `"yes"` {
			t.Fatalf("last turn: %+v", out)
		}
		hashes[1] = i.Hash()
		if k > 0 && hashes != first {
			t.Error("the memory of the replay differs")
		}
		first = hashes
		i.Release()
	}
}

func TestWaitingGuestIsReleased(t *testing.T) {
	t.Parallel()
	i := begin(t, loadProgram(t, synchronous(), Options{}), "", 1)
	turn(t, i, In{Time: began})
	i.Release() // returns when the goroutine has ended
	i.Release()
	if _, err := i.Turn(t.Context(), In{}); err == nil {
		t.Error("a released guest took a turn")
	}
}

func TestInvalidHostCallsTrap(t *testing.T) {
	t.Parallel()
	const outside = 1 << 30
	for _, row := range []struct {
		name, function string
		args           []int
		text           string
	}{
		{"a long kind", "flawless.call", []int{textAt, 65, 0, 0, 0, 0}, "65 bytes"},
		{"a kind outside of memory", "flawless.call", []int{outside, 4, 0, 0, 0, 0}, "outside"},
		{"a body across the end of memory", "flawless.call", []int{textAt, 4, 0, 0, 65530, 7}, "outside"},
		{"a body across the end of addresses", "flawless.call", []int{textAt, 4, 0, 0, -1, 2}, "outside"},
		{"a large body", "flawless.call", []int{textAt, 4, 0, 0, 0, 64<<20 + 1}, "67108865"},
		{"a head that is not JSON", "flawless.call", []int{textAt, 4, textAt, 4, 0, 0}, "not JSON"},
		{"data that is not JSON", "flawless.call", []int{textAt + 7, 4, 0, 0, textAt, 4}, "not JSON"},
		{"an output that is not JSON", "flawless.finish", []int{1, textAt, 4}, "not JSON"},
		{"an output outside of memory", "flawless.finish", []int{1, outside, 4}, "outside"},
		{"a third part of an answer", "flawless.answer", []int{0, 2, 0, 0}, "part 2"},
		{"an answer outside of memory", "flawless.answer", []int{0, 1, outside, 1}, "outside"},
		{"waiting for no call", "flawless.wait", []int{scratchAt, 0}, "0 calls"},
		{"waiting for calls across the end of addresses", "flawless.wait", []int{-4, 2}, "outside"},
		{"waiting for a call it never made", "flawless.wait", []int{textAt, 1}, "not made"},
		{"a description outside of memory", "flawless.describe", []int{outside, 1}, "outside"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := hand("httponedata")
			code := p.call(row.function, row.args...)
			if _, results := signature(row.function); results != "" {
				code = append(code, drop...)
			}
			i := begin(t, loadProgram(t, p.add("flawless_start", code), Options{}), "", 1)
			defer i.Release()
			out := turn(t, i, In{Time: began})
			if out.Ended == nil || out.Ended.Failure == nil {
				t.Fatalf("it did not fail: %+v", out)
			}
			if f := out.Ended.Failure; f.Kind != "trap" || !strings.Contains(f.Message, row.text) {
				t.Errorf("failure %q: %q, want a trap with %q", f.Kind, f.Message, row.text)
			}
		})
	}
}

// endless returns a guest that calls a function forever.
func endless(pages byte, function string, args ...int) *program {
	// One vector of input and output, over all of its memory.
	p := hand("\x00\x00\x00\x00\x00\x00" + string([]byte{pages, 0}) + "data1")
	p.pages = pages
	return p.add("flawless_start", forever, p.call(function, args...), drop, again)
}

func TestTurnOutputIsBounded(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*program{
		"calls":  endless(16, "flawless.call", textAt+8, 4, 0, 0, 0, 16<<16),
		"prints": endless(16, "wasi_snapshot_preview1.fd_write", 1, textAt, 1, scratchAt),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.text = strings.Replace(p.text, "data", "http", 1)
			i := begin(t, loadProgram(t, p, Options{}), "", 1)
			defer i.Release()
			out := turn(t, i, In{Time: began})
			if f := out.Ended.Failure; f.Kind != "limit" || !strings.Contains(f.Message, "MiB") {
				t.Errorf("failure %q: %q", f.Kind, f.Message)
			}
		})
	}
}

func TestHostFunctionsAreMetered(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*program{
		"random":  endless(60, "wasi_snapshot_preview1.random_get", 0, 60<<16),
		"data":    endless(1, "flawless.call", textAt+8, 4, 0, 0, textAt+12, 1),
		"answers": endless(60, "flawless.answer", 0, 0, 0, 60<<16),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := begin(t, loadProgram(t, p, Options{}), "", 1)
			defer i.Release()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			since := time.Now()
			if _, err := i.Turn(ctx, In{Time: began}); err == nil {
				t.Error("it ended")
			}
			if d := time.Since(since); d > 5*time.Second {
				t.Errorf("it was stopped after %v", d)
			}
		})
	}
}

func TestBlockedReturnsTheGuestsText(t *testing.T) {
	t.Parallel()
	p := hand("in main.go:7")
	p.add("flawless_start").add("flawless_resume").add("flawless_blocked", p.call("flawless.describe", textAt, 12))
	i := begin(t, loadProgram(t, p, Options{}), "", 1)
	defer i.Release()
	turn(t, i, In{Time: began})
	if s := i.Blocked(t.Context()); s != "in main.go:7" {
		t.Errorf("blocked %q", s)
	}
	j := begin(t, loadProgram(t, hand("").add("flawless_start").add("flawless_resume"), Options{}), "", 1)
	defer j.Release()
	if s := j.Blocked(t.Context()); s != "" {
		t.Errorf("blocked %q", s)
	}
}

// TestReplayKnowsNoCallBeforeItIsMade has a guest that uses the descriptor of its first call before it makes the call.
func TestReplayKnowsNoCallBeforeItIsMade(t *testing.T) {
	t.Parallel()
	p := hand("http")
	p.add("flawless_start",
		i32(scratchAt), p.call("wasi_snapshot_preview1.fd_fdstat_get", firstFD+1, scratchAt+64), store,
		p.call("flawless.call", textAt, 4, 0, 0, 0, 0), drop).add("flawless_resume")
	m := loadProgram(t, p, Options{})
	live, again := begin(t, m, "", 1), begin(t, m, "", 1)
	out := turn(t, live, In{Time: began})
	if errno := live.Memory()[scratchAt]; errno != ebadf {
		t.Errorf("live it gets %d", errno)
	}
	if turn(t, again, In{Time: began, Expect: out.Calls}); live.Hash() != again.Hash() {
		t.Errorf("in a replay it gets %d", again.Memory()[scratchAt])
	}
}

func TestUnexpectedCallsAreNumberedAfterExpectedOnes(t *testing.T) {
	t.Parallel()
	m := &Module{}
	m.stacks = stacksOf(m)
	i := &Instance{m: m, made: 1, taken: 3, expect: []flawless.Call{{N: 2, Kind: "b"}, {N: 3, Kind: "c"}}}
	var got []int
	for _, kind := range []string{"c", "new", "b", "newer"} {
		got = append(got, i.addCall(kind, nil, nil))
	}
	if !slices.Equal(got, []int{3, 4, 2, 5}) || i.made != 5 {
		t.Errorf("they get %v, the highest is %d", got, i.made)
	}
}
