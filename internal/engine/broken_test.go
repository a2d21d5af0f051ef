package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// TestBrieflyUnreadableFilesAreTolerated has the first try to open each table fail, under
// eight open runs, while they run and while the next server reads them.
func TestBrieflyUnreadableFilesAreTolerated(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	var opened, refused atomic.Int32
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".sst") && opened.Add(1)%2 == 1 {
			refused.Add(1)
			return syscall.EMFILE
		}
		return nil
	}))
	server := func() (*Engine, *pebble.DB) {
		db, err := pebble.Open("data", pebble.Options{FS: fs, Reserve: -1, Memtable: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		return open(t, db, Options{}), db
	}
	e, db := server()
	steps := []Step{{Post: "/first"}, {Sleep: 200_000}, {Put: "/put"}, {Post: "/second"}}
	for i := range 8 {
		mustStart(t, e, "script", Script{URL: o.URL + fmt.Sprint("/", i), Steps: steps}, fmt.Sprint("run", i))
	}
	for i := range 8 {
		until(t, e, fmt.Sprint("run", i), func(flawless.Run) bool { return o.count(fmt.Sprintf("/%d/first", i)) == 1 })
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e, db = server()
	t.Cleanup(func() { e.Kill(); _ = db.Close() })
	for i := range 8 {
		if r := mustEnd(t, e, fmt.Sprint("run", i)); r.Status != flawless.Completed {
			t.Errorf("run %d is %+v", i, r)
		}
		for _, path := range []string{"first", "second"} {
			if n := o.count(fmt.Sprintf("/%d/%s", i, path)); n != 1 {
				t.Errorf("/%d/%s was seen %d times", i, path, n)
			}
		}
	}
	if h := e.Health(); h.State != "ok" {
		t.Errorf("the health is %+v", h)
	}
	if refused.Load() < 2 {
		t.Errorf("%d tables were refused: this shows nothing", refused.Load())
	}
}

// Step and Script are what the guest's workflow script takes.
type Step struct {
	Post  string `json:"post,omitempty"`
	Put   string `json:"put,omitempty"`
	Sleep int    `json:"sleep,omitempty"` // microseconds
}

type Script struct {
	URL   string `json:"url"`
	Steps []Step `json:"steps"`
}

// failing is a database where writes or reads of runs fail on demand, or everything does.
type failing struct {
	*mem.DB
	writes, runs, lists, whole atomic.Bool

	then func() // called after the next write
}

var errDisk = errors.New("the disk is broken")

func (f *failing) Apply(ctx context.Context, b *store.Batch) error {
	if f.writes.Load() {
		return errDisk
	}
	err := f.DB.Apply(ctx, b)
	if then := f.then; then != nil {
		f.then = nil
		then()
	}
	return err
}

func (f *failing) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	if f.lists.Load() && len(r.From) > 0 && (r.From[0] == 'a' || r.From[0] == 't') {
		return func(yield func(store.Item, error) bool) { yield(store.Item{}, errDisk) }
	}
	return f.DB.Scan(ctx, r)
}

func (f *failing) Get(ctx context.Context, key []byte) ([]byte, error) {
	if f.runs.Load() && key[0] == 'h' {
		return nil, errDisk
	}
	return f.DB.Get(ctx, key)
}

func (f *failing) Full() (bool, string) { return false, "" }

func (f *failing) Failed() error {
	if f.whole.Load() {
		return errDisk
	}
	return nil
}

func mustBreak(t *testing.T, e *Engine) {
	t.Helper()
	select {
	case <-e.Broken():
	case <-time.After(20 * time.Second):
		t.Fatal("the store is not given up")
	}
	if h := e.Health(); h.State != "broken" || !strings.Contains(h.Message, errDisk.Error()) {
		t.Errorf("the health is %+v", h)
	}
}

// TestUnwritableStoreIsGivenUp checks what requests return, and what the next server
// makes of the runs: only the call in flight that is not idempotent has an unknown outcome.
func TestUnwritableStoreIsGivenUp(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	gate, arrived := make(chan struct{}), make(chan string, 2)
	o.delay = func(path string) { arrived <- path; <-gate }
	kv := &failing{DB: mem.New()}
	e := open(t, kv, Options{})
	mustStart(t, e, "script", Script{URL: o.URL, Steps: []Step{{Post: "/post"}}}, "posts")
	mustStart(t, e, "script", Script{URL: o.URL, Steps: []Step{{Put: "/put"}}}, "puts")
	mustStart(t, e, "script", Script{URL: o.URL, Steps: []Step{{Sleep: 300_000}}}, "sleeps")
	mustStart(t, e, "obey", nil, "waits")
	<-arrived
	<-arrived
	kv.writes.Store(true)
	_, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", ID: "new"})
	if !errors.Is(err, flawless.Stopping) || !strings.Contains(err.Error(), errDisk.Error()) {
		t.Errorf("the start that met it: %v", err)
	}
	mustBreak(t, e)
	_, _, err = e.Start(t.Context(), Start{Module: "guest", Workflow: "empty"})
	if !errors.Is(err, flawless.Stopping) || !strings.Contains(err.Error(), errDisk.Error()) {
		t.Errorf("a start after it: %v", err)
	}
	o.mu.Lock()
	o.delay = nil
	o.mu.Unlock()
	close(gate)
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("closing: %v", err)
	}
	kv.writes.Store(false)
	e = open(t, kv, Options{})
	for _, id := range []string{"puts", "sleeps"} {
		if r := mustEnd(t, e, id); r.Status != flawless.Completed {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if r := until(t, e, "posts", unresolved); len(r.Unresolved) != 1 {
		t.Errorf("%+v", r)
	}
	if r, err := e.Run(t.Context(), "waits"); err != nil || r.Status != flawless.Waiting {
		t.Errorf("a run that had nothing in flight: %+v, %v", r, err)
	}
	if o.count("/post") != 1 {
		t.Errorf("/post was seen %d times", o.count("/post"))
	}
}

// TestStoreFailingWhileIdleIsGivenUp: a server without work must not look healthy.
func TestStoreFailingWhileIdleIsGivenUp(t *testing.T) {
	t.Parallel()
	kv := &failing{DB: mem.New()}
	e := open(t, kv, Options{})
	kv.whole.Store(true)
	mustBreak(t, e)
}

// TestUnreadableRunIsReadAgain: a run is looked at once, at the start or when its timer is due. One
// that cannot be read then continues when it can be, and no other one waits for it.
func TestUnreadableRunIsReadAgain(t *testing.T) {
	for _, row := range []struct {
		name   string
		refuse func(f *failing)
	}{
		{"its head", func(f *failing) { f.runs.Store(true) }},
		{"the list of those that go on, and of timers", func(f *failing) { f.lists.Store(true) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				kv := &failing{DB: mem.New()}
				w := &world{seen: map[string]int{}}
				e := open(t, kv, Options{Kinds: w.kinds()})
				mustStart(t, e, "script", Script{Steps: []Step{sleeping(time.Minute)}}, "sleeps")
				mustStart(t, e, "script", Script{URL: "http://api.example", Steps: []Step{{Put: "/never"}, {Put: "/done"}}}, "puts")
				time.Sleep(time.Second)
				e.Kill()
				e, err := reopenWith(t, kv, w, row.refuse)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				kv.runs.Store(false)
				kv.lists.Store(false)
				before := w.requests()["puts"]
				time.Sleep(2 * clock.Soon)
				if r := mustEndAfter(t, e, "sleeps", time.Second); r.Status != flawless.Completed {
					t.Errorf("it is %+v", r)
				}
				if w.requests()["puts"] != before+1 {
					t.Errorf("the run that had a call in flight has not gone on: %v", w.requests())
				}
			})
		})
	}
}

// reopenWith opens an engine, and has reads of its database refused when its start is written.
func reopenWith(t *testing.T, kv *failing, w *world, refuse func(*failing)) (*Engine, error) {
	t.Helper()
	kv.then = func() { refuse(kv) }
	e, err := reopen(t, kv, Options{Kinds: w.kinds()})
	if err == nil {
		t.Cleanup(e.Kill)
	}
	return e, err
}
