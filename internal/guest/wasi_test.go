package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// bare returns a guest with a scheduler that has made two calls, for tests that use its memory and descriptors.
func bare(t testing.TB) *Instance {
	t.Helper()
	p := hand("http")
	code := p.call("flawless.call", textAt, 4, 0, 0, 0, 0)
	p.add("flawless_start", code, drop, code, drop).add("flawless_resume")
	i := begin(t, loadProgram(t, p, Options{}), "", 1)
	t.Cleanup(i.Release)
	if out := turn(t, i, In{Time: began}); len(out.Calls) != 2 {
		t.Fatalf("it made %d calls", len(out.Calls))
	}
	i.begin(t.Context())
	return i
}

// ask calls a host function as the guest would, and returns its result.
func ask(t testing.TB, i *Instance, name string, args ...uint64) uint32 {
	t.Helper()
	for _, h := range hosts {
		for _, f := range h.functions {
			if f.name == name {
				stack := append(slices.Clone(args), 0)
				f.call()(context.WithValue(t.Context(), instanceKey{}, i), i.mod, stack)
				return uint32(stack[0])
			}
		}
	}
	t.Fatalf("there is no function %s", name)
	return 0
}

func put(t testing.TB, i *Instance, at uint32, words ...uint32) {
	t.Helper()
	for k, w := range words {
		if !i.mod.Memory().WriteUint32Le(at+4*uint32(k), w) {
			t.Fatal("outside of memory")
		}
	}
}

func TestWASIErrors(t *testing.T) {
	t.Parallel()
	const at, end, far = scratchAt, 65536, 1<<32 - 4
	for _, row := range []struct {
		name, function string
		args           []uint64
		want           uint32
	}{
		{"an unknown clock", "clock_time_get", []uint64{9, 0, at}, einval},
		{"a time outside of memory", "clock_time_get", []uint64{0, 0, end - 7}, efault},
		{"a time across the end of addresses", "clock_time_get", []uint64{0, 0, far}, efault},
		{"randomness outside of memory", "random_get", []uint64{at, end}, efault},
		{"randomness across the end of addresses", "random_get", []uint64{far, 8}, efault},
		{"no subscriptions", "poll_oneoff", []uint64{at, at, 0, at}, einval},
		{"too many subscriptions", "poll_oneoff", []uint64{at, at, maxSubscriptions + 1, at}, einval},
		{"subscriptions outside of memory", "poll_oneoff", []uint64{end - 47, at, 1, at}, efault},
		{"subscriptions across the end of addresses", "poll_oneoff", []uint64{1<<32 - 48, at, 2, at}, efault},
		{"printing to a call", "fd_write", []uint64{firstFD + 1, at, 1, at}, ebadf},
		{"printing outside of memory", "fd_write", []uint64{1, far, 2, at}, efault},
		{"printing too many pieces", "fd_write", []uint64{1, at, maxVector + 1, at}, einval},
		{"reading a call that was not made", "fd_read", []uint64{firstFD + 3, at, 1, at}, ebadf},
		{"reading the start", "fd_read", []uint64{firstFD, at, 1, at}, ebadf},
		{"reading a call without an answer", "fd_read", []uint64{firstFD + 1, at, 1, at}, eagain},
		{"reading idle within the turn", "fd_read", []uint64{idleFD, at, 1, at}, eagain},
		{"closing an unknown file", "fd_close", []uint64{3}, ebadf},
		{"an unknown directory", "fd_prestat_get", []uint64{3, at}, ebadf},
		{"opening a file", "path_open", []uint64{3, 0, at, 1, 0, 0, 0, 0, at}, ebadf},
		{"a socket", "sock_accept", []uint64{3, 0, at}, ebadf},
		{"a signal", "proc_raise", []uint64{9}, enosys},
		{"a description outside of memory", "fd_fdstat_get", []uint64{1, end - 23}, efault},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, bare(t), row.function, row.args...); got != row.want {
				t.Errorf("%s%v gives %d, want %d", row.function, row.args, got, row.want)
			}
		})
	}
}

func TestClocksAreConstantWithinATurn(t *testing.T) {
	t.Parallel()
	i := bare(t)
	i.now = began + 7
	for clock, want := range []uint64{began + 7, 1e9 + 7} {
		for range 2 {
			ask(t, i, "clock_time_get", uint64(clock), 0, scratchAt)
			if got, _ := i.mod.Memory().ReadUint64Le(scratchAt); got != want {
				t.Errorf("clock %d shows %d, want %d", clock, got, want)
			}
		}
	}
}

func TestDescriptorsOfCallsDoNotBlock(t *testing.T) {
	t.Parallel()
	i := bare(t)
	for fd, want := range map[uint64]uint16{1: 0, idleFD: 4, firstFD + 1: 4} {
		ask(t, i, "fd_fdstat_get", fd, scratchAt)
		if got, _ := i.mod.Memory().ReadUint16Le(scratchAt + 2); got != want {
			t.Errorf("the flags of descriptor %d are %d, want %d", fd, got, want)
		}
	}
}

func TestAnswerReadsAsOneByteUntilClosed(t *testing.T) {
	t.Parallel()
	i := bare(t)
	i.deliver([]flawless.Answer{{Call: 1, Head: []byte("{}")}})
	put(t, i, scratchAt, scratchAt+64, 10)
	for range 2 {
		if e := ask(t, i, "fd_read", firstFD+1, scratchAt, 1, scratchAt+32); e != ok {
			t.Fatalf("reading gives %d", e)
		}
		if n, _ := i.mod.Memory().ReadUint32Le(scratchAt + 32); n != 1 {
			t.Errorf("it read %d bytes", n)
		}
	}
	if n := ask(t, i, "answer", 1, 0, 0, 0); n != 2 {
		t.Errorf("the head has %d bytes", int32(n))
	}
	ask(t, i, "fd_close", firstFD+1)
	if n := ask(t, i, "answer", 1, 0, 0, 0); n != minusOne {
		t.Errorf("a closed call still has an answer of %d bytes", n)
	}
	ask(t, i, "fd_close", firstFD+2)
	for _, want := range []uint32{minusOne, 2} {
		i.deliver([]flawless.Answer{{Call: 2, Head: []byte("{}")}})
		if n := ask(t, i, "answer", 2, 0, 0, 0); n != want {
			t.Errorf("a call that was closed before its answer came has one of %d bytes, want %d", int32(n), int32(want))
		}
	}
}

// Subscriptions of a poll.
func relative(ns uint64) []uint32 { return timer(ns, 0) }
func absolute(ns uint64) []uint32 { return timer(ns, 1) }
func timer(ns uint64, flags uint32) []uint32 {
	return []uint32{0, 0, 0, 0, 1, 0, uint32(ns), uint32(ns >> 32), 0, 0, flags, 0}
}
func reading(fd uint32) []uint32 { return []uint32{fd, 0, 1, 0, fd, 0, 0, 0, 0, 0, 0, 0} }

func TestPolls(t *testing.T) {
	t.Parallel()
	second := uint64(1e9)
	for _, row := range []struct {
		name  string
		subs  [][]uint32
		given []int
		want  string // events: clock, or descriptors; ! marks an error
		over  bool
		wake  int64
	}{
		{"a runtime sleeps", [][]uint32{relative(second)}, []int{1}, "clock", false, 0},
		{"descriptors without idle", [][]uint32{reading(firstFD + 1), relative(second), relative(2 * second)}, []int{1}, "clock clock", false, 0},
		{"a timeout of zero", [][]uint32{reading(idleFD), reading(firstFD + 1), relative(0), relative(second)}, []int{1}, "clock", false, 0},
		{"answers are handed over", [][]uint32{reading(firstFD + 1), reading(idleFD), reading(firstFD + 2)}, []int{2, 1}, "call2 call1", false, 0},
		{"answers before a timer that is due", [][]uint32{absolute(1), reading(idleFD), reading(firstFD + 2)}, []int{2}, "call2 clock", false, 0},
		{"a timer that is due", [][]uint32{absolute(second), reading(idleFD), reading(firstFD + 2)}, nil, "clock", false, 0},
		{"nothing to do", [][]uint32{reading(firstFD + 2), reading(idleFD), reading(firstFD + 1)}, nil, "idle", true, 0},
		{"nothing to do but wait", [][]uint32{relative(5), reading(idleFD), relative(3)}, nil, "idle", true, began + 3},
		{"an absolute timer", [][]uint32{absolute(second + 9), reading(idleFD)}, nil, "idle", true, began + 9},
		{"a timer beyond the end of time", [][]uint32{relative(1<<64 - 2), reading(idleFD)}, nil, "idle", true, 0},
		{"an answer that nobody polls for", [][]uint32{reading(idleFD), reading(firstFD + 1)}, []int{2}, "idle", true, 0},
		{"a call that was not made", [][]uint32{reading(firstFD + 3), reading(idleFD)}, nil, "call3!8", false, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := bare(t)
			for k, s := range row.subs {
				put(t, i, scratchAt+48*uint32(k), s...)
			}
			for _, n := range row.given {
				i.deliver([]flawless.Answer{{Call: n}})
			}
			if e := ask(t, i, "poll_oneoff", scratchAt, 8192, uint64(len(row.subs)), 12288); e != ok {
				t.Fatalf("it gives %d", e)
			}
			if got := events(i); got != row.want {
				t.Errorf("events %q, want %q", got, row.want)
			}
			if i.over != row.over || i.out.Wake != row.wake {
				t.Errorf("over %v, wake %d; want %v, %d", i.over, i.out.Wake, row.over, row.wake)
			}
		})
	}
}

// events reads what a poll has written.
func events(i *Instance) string {
	n, _ := i.mod.Memory().ReadUint32Le(12288)
	var out []string
	for k := range n {
		b, _ := i.mod.Memory().Read(8192+32*k, 32)
		user := binary.LittleEndian.Uint64(b)
		s := fmt.Sprint("call", int(user)-firstFD)
		switch {
		case b[10] == 0:
			s = "clock"
		case user == idleFD:
			s = "idle"
		case user == earlyFD:
			s = "early"
		}
		if e := binary.LittleEndian.Uint16(b[8:]); e != 0 {
			s += fmt.Sprint("!", e)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestEarlyPollEndsTurnWithoutTimers(t *testing.T) {
	t.Parallel()
	i := bare(t)
	put(t, i, scratchAt, slices.Concat(relative(0), reading(earlyFD), reading(firstFD+1), relative(5), reading(idleFD))...)
	zero, endless, timed, usual := uint64(scratchAt), uint64(scratchAt+48), uint64(scratchAt+96), uint64(scratchAt+192)
	for n, step := range []struct {
		poll, subs uint64 // 0 reads the clock
		want       string
		over       bool
	}{
		{zero, 2, "clock", false}, // its timers are unknown
		{endless, 1, "early", true},
		{0, 0, "", false}, // by the scheduler
		{zero, 2, "early", true},
		{zero, 2, "early", true},
		{0, 0, "", false},
		{zero, 2, "clock", false}, // it may have made one
		{endless, 1, "early", true},
		{zero, 2, "early", true},
		{endless, 3, "early", true}, // it has one
		{zero, 2, "clock", false},
		{timed, 2, "clock", false}, // as a runtime sleeps
		{zero, 2, "clock", false},
		{usual, 1, "idle", true},
		{zero, 2, "early", true},
		{zero, 1, "clock", false}, // without the descriptor
	} {
		i.over = false
		if step.poll == 0 {
			ask(t, i, "clock_time_get", 1, 0, 12288)
			continue
		}
		ask(t, i, "poll_oneoff", step.poll, 8192, step.subs, 12288)
		if got := events(i); got != step.want || i.over != step.over {
			t.Fatalf("step %d gives %q, over %v; want %q, %v", n+1, got, i.over, step.want, step.over)
		}
	}
	i.deliver([]flawless.Answer{{Call: 1}})
	ask(t, i, "poll_oneoff", endless, 8192, 1, 12288)
	i.over = false
	ask(t, i, "poll_oneoff", zero, 8192, 3, 12288)
	if got := events(i); got != "clock" || i.over {
		t.Errorf("with an answer there it gives %q, over %v", got, i.over)
	}
}

func TestSecondPollEndsTheTurn(t *testing.T) {
	t.Parallel()
	i := bare(t)
	put(t, i, scratchAt, append(reading(idleFD), reading(firstFD+1)...)...)
	i.deliver([]flawless.Answer{{Call: 1}})
	ask(t, i, "poll_oneoff", scratchAt, 8192, 2, 12288)
	put(t, i, scratchAt+48, reading(firstFD+2)...)
	if got := events(i); got != "call1" || i.over {
		t.Fatalf("the first poll gives %q", got)
	}
	ask(t, i, "poll_oneoff", scratchAt, 8192, 2, 12288)
	if got := events(i); got != "idle" || !i.over {
		t.Fatalf("the second poll gives %q", got)
	}
	put(t, i, scratchAt, scratchAt+64, 1)
	for k, want := range []uint32{ok, eagain} {
		if got := ask(t, i, "fd_read", idleFD, scratchAt, 1, scratchAt+32); got != want {
			t.Errorf("read %d of idle gives %d, want %d", k+1, got, want)
		}
	}
}

func TestPrintedTextBecomesLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	for _, row := range []struct {
		name   string
		prints []string
		want   []string
	}{
		{"a line", []string{"one\n"}, []string{"one"}},
		{"pieces of a line", []string{"o", "ne\ntw", "o\n"}, []string{"one", "two"}},
		{"empty lines", []string{"\n\n"}, []string{"", ""}},
		{"no end", []string{"one"}, []string{"one"}},
		{"as long as can be", []string{long, "\n"}, []string{long}},
		{"too long", []string{long + "y\n"}, []string{long, "y"}},
		{"far too long", []string{long + long + "\nz"}, []string{long, long, "z"}},
		{"not text", []string{"a\xff\xfeb\n"}, []string{"a\uFFFDb"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := &Instance{}
			for _, s := range row.prints {
				i.print(0, []byte(s))
			}
			i.endLines()
			var got []string
			for _, l := range i.out.Lines {
				got = append(got, l.Text)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %d lines, want %d: %.100q", len(got), len(row.want), got)
			}
		})
	}
}

// TestTurnWithTooManyLinesEndsTheGuest has turns with more items than a record may have. Such a turn could not be
// written, and its run would be quarantined.
func TestTurnWithTooManyLinesEndsTheGuest(t *testing.T) {
	t.Parallel()
	many := bytes.Repeat([]byte("\n"), 1<<16)
	for name, make := range map[string]func(i *Instance){
		"lines": func(i *Instance) { i.print(0, many) },
		"calls": func(i *Instance) { i.item(0, 2) },
	} {
		i := &Instance{}
		broke := func() (f *fault) {
			defer func() { f, _ = recover().(*fault) }()
			for {
				make(i)
			}
		}()
		if broke == nil || broke.kind != "limit" || !strings.Contains(broke.text, "lines") {
			t.Errorf("%s: it ends with %v", name, broke)
		}
		if n := len(i.out.Lines) + 1; i.items < flawless.MaxItems/2 || n > flawless.MaxItems-100 {
			t.Errorf("%s: it has %d items, %d of them lines", name, i.items, n)
		}
	}
}
