package ring

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustOpen(t testing.TB, dir string, size int) *Ring {
	t.Helper()
	r, err := open(dir, "database", size)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func call(lane int, n int64) Entry {
	return Entry{Lane: lane, N: n, Run: fmt.Sprintf("run-%d-%d", lane, n), Call: int(n), Module: "m", Workflow: "w", Request: "POST https://pay.example/charges"}
}

// abandon leaves a ring as a process leaves it that is killed.
func (r *Ring) abandon(t *testing.T) {
	t.Helper()
	if err := r.mem.close(); err != nil {
		t.Fatal(err)
	}
}

// after describes what a ring knows of the calls after some writes.
func after(r *Ring, left ...int64) string {
	calls, all := r.After(left)
	var s bytes.Buffer
	for _, c := range calls {
		fmt.Fprintf(&s, "%s ", c.Run)
	}
	if all {
		s.WriteString("all")
	}
	return s.String()
}

func TestEntriesSurviveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := mustOpen(t, dir, 1<<16)
	id := r.ID()
	for n := range int64(3) {
		r.Put(call(0, n+1))
		r.Put(call(1, n+10))
	}
	r.Acknowledge(0, 3)
	r.Acknowledge(1, 12)
	r.Epoch(7)
	r.Epoch(5)
	r.abandon(t)
	r = mustOpen(t, dir, 1<<16)
	defer r.abandon(t)
	if r.ID() != id || r.Acknowledged()[0] != 3 || r.Acknowledged()[1] != 12 || r.Epoch(0) != 7 {
		t.Errorf("it is ring %s with %v, epoch %d", r.ID(), r.Acknowledged(), r.Epoch(0))
	}
	for _, row := range []struct {
		left []int64
		want string
	}{
		{[]int64{3, 12}, "all"},
		{[]int64{1, 11}, "run-0-2 run-0-3 run-1-12 all"},
		{[]int64{0}, "run-0-1 run-1-10 run-0-2 run-1-11 run-0-3 run-1-12 all"},
	} {
		if got := after(r, row.left...); got != row.want {
			t.Errorf("after %v it knows %s, want %s", row.left, got, row.want)
		}
	}
	calls, _ := r.After([]int64{2, 12})
	if diff := cmp.Diff([]Entry{call(0, 3)}, calls); diff != "" {
		t.Error(diff)
	}
}

// TestReplacedEntriesAreMissed lets the ring turn around many times, with entries of all sizes.
func TestReplacedEntriesAreMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := mustOpen(t, dir, 4096)
	for n := range int64(1000) {
		e := call(int(n%2), n+1)
		e.Request = string(bytes.Repeat([]byte{'x'}, int(n*37%500)))
		r.Put(e)
		if n%100 == 0 {
			r.abandon(t)
			r = mustOpen(t, dir, 4096)
		}
		calls, all := r.After(nil)
		last := calls[len(calls)-1]
		if last.N != n+1 || n > 100 && all || n < 5 && !all {
			t.Fatalf("after %d entries: the last is %+v, all %v", n+1, last, all)
		}
		oldest := calls[0].N
		if _, all := r.After([]int64{oldest - 1, oldest - 1}); !all {
			t.Fatalf("after %d entries, %d is the oldest, but an older one is missed", n+1, oldest)
		}
		if _, all := r.After([]int64{oldest - 3, oldest - 3}); all && oldest > 3 {
			t.Fatalf("after %d entries, %d is the oldest, and none is missed", n+1, oldest)
		}
	}
	r.abandon(t)
}

// TestRestartOfTheMachine: the file may be older than the process left it.
func TestRestartOfTheMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	restarted := func(r *Ring) {
		r.setText(atBoot, "another")
	}
	r := mustOpen(t, dir, 1<<16)
	r.Put(call(0, 5))
	r.Acknowledge(0, 5)
	restarted(r)
	r.abandon(t)
	r = mustOpen(t, dir, 1<<16)
	if got := after(r, 4); got != "run-0-5 " {
		t.Errorf("after a crash of the machine it knows %s", got)
	}
	r.Continue([]int64{6})
	r.Put(call(0, 7))
	if got := after(r, 4); got != "run-0-5 run-0-7 " {
		t.Errorf("of the calls before the crash it knows %s", got)
	}
	if got := after(r, 6); got != "run-0-7 all" {
		t.Errorf("of the calls since it knows %s", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, dir, 1<<16)
	restarted(r)
	r.set(atClean, 1)
	r.abandon(t)
	r = mustOpen(t, dir, 1<<16)
	defer r.abandon(t)
	if got := after(r, 6); got != "run-0-7 all" {
		t.Errorf("after it was closed in order, it knows %s", got)
	}
}

func TestForeignFilesAreReplaced(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(path string) error
	}{
		{"missing", os.Remove},
		{"copied", func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path+".copy", b, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".copy", path)
		}},
		{"cut off", func(path string) error { return os.Truncate(path, 100) }},
		{"something else", func(path string) error { return os.WriteFile(path, make([]byte, 1<<16), 0o600) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := mustOpen(t, dir, 1<<16)
			r.Put(call(0, 1))
			r.Acknowledge(0, 1)
			id := r.ID()
			r.abandon(t)
			if err := row.change(path(dir)); err != nil {
				t.Fatal(err)
			}
			r = mustOpen(t, dir, 1<<16)
			defer r.abandon(t)
			if r.ID() == id || after(r) != "all" || r.Acknowledged()[0] != 0 {
				t.Errorf("it is still known: %s", after(r))
			}
		})
	}
	t.Run("another database", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		r := mustOpen(t, dir, 1<<16)
		r.Put(call(0, 1))
		r.abandon(t)
		r, err := open(dir, "another", 1<<16)
		if err != nil || after(r) != "all" {
			t.Errorf("it is still known: %v", err)
		}
		r.abandon(t)
	})
}

// TestDamagedEntriesAreMissed flips each byte of the entries.
func TestDamagedEntriesAreMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := mustOpen(t, dir, 1<<12)
	for n := range int64(3) {
		r.Put(call(0, n+1))
	}
	head := int(r.number(atHead))
	r.abandon(t)
	for at := range head {
		f, err := os.OpenFile(path(dir), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		flip := func() {
			if _, err := f.ReadAt(b[:], int64(atData+at)); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0x10
			if _, err := f.WriteAt(b[:], int64(atData+at)); err != nil {
				t.Fatal(err)
			}
		}
		flip()
		r := mustOpen(t, dir, 1<<12)
		if _, all := r.After(nil); all {
			t.Fatalf("byte %d is damaged, and no call is missed", at)
		}
		tail := r.number(atTail)
		r.set(atTail, 0)
		r.abandon(t)
		flip()
		if err := f.Close(); err != nil || tail == 0 {
			t.Fatalf("byte %d: %v, tail %d", at, err, tail)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	r := mustOpen(b, b.TempDir(), dataSize)
	e := call(0, 1)
	e.Run = "wkf_01hzy0000000000000000000000"
	b.ReportAllocs()
	for b.Loop() {
		e.N++
		r.Put(e)
	}
}
