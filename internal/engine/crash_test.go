package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// mortal is a database whose server dies: from one moment on nothing is written any more.
type mortal struct {
	store.KV
	left  atomic.Int64 // writes until it dies
	after bool         // it dies when the write has taken effect, and nobody learns of it
	dead  chan struct{}
	once  sync.Once
}

var errDead = errors.New("the server is dead")

func newMortal(kv store.KV, left int, after bool) *mortal {
	m := &mortal{KV: kv, after: after, dead: make(chan struct{})}
	m.left.Store(int64(left))
	return m
}

func (m *mortal) die() { m.once.Do(func() { close(m.dead) }) }

func (m *mortal) isDead() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) Apply(ctx context.Context, b *store.Batch) error {
	if m.isDead() {
		return errDead
	}
	if m.left.Add(-1) == 0 {
		if m.after {
			_ = m.KV.Apply(ctx, b)
		}
		m.die()
		return errDead
	}
	return m.KV.Apply(ctx, b)
}

// disk is what a database lies on. It survives its server.
type disk interface {
	open(t *testing.T) store.KV // as a new server finds it
	crash()                     // the server on it has died
}

// memory is a disk that keeps every write.
type memory struct{ db *mem.DB }

func (m *memory) open(*testing.T) store.KV { return m.db }

func (m *memory) crash() {}

// volatile is a disk under Pebble that loses what was not synced when its server dies.
type volatile struct {
	fs *vfs.MemFS
	db *pebble.DB
}

func (v *volatile) open(t *testing.T) store.KV {
	t.Helper()
	db, err := pebble.Open("data", pebble.Options{FS: v.fs, Reserve: -1, Memtable: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	v.db = db
	return db
}

func (v *volatile) crash() {
	after := v.fs.CrashClone(vfs.CrashCloneCfg{})
	_ = v.db.Close()
	v.fs = after
}

// runUntilDeath lets a server that is going to die run until the run has ended or the server is dead. It
// returns whether it died.
func runUntilDeath(t *testing.T, name string, d disk, first *mortal, how Options, begin Start, opened ...func(*Engine)) (died bool) {
	t.Helper()
	defer d.crash()
	e, err := tryOpen(t, first, how)
	if err != nil {
		if !first.isDead() {
			t.Fatal(err)
		}
		return true
	}
	for _, tell := range opened {
		tell(e)
	}
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		if _, _, err := e.Start(ctx, begin); err == nil {
			e.waitQuiet(ctx, begin.ID)
		}
	}()
	select {
	case <-first.dead:
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: it neither ends nor dies", name)
	}
	e.Kill()
	cancel()
	<-ended
	return first.isDead()
}

// waitQuiet waits until a run has ended, or a call of it has an unknown outcome: it does nothing more then.
func (e *Engine) waitQuiet(ctx context.Context, id string) {
	topic, done := e.hub.Follow(id)
	defer done()
	for {
		changed := topic.Changed()
		r, err := e.Run(ctx, id)
		if err != nil || r.Status.Ended() || unresolved(r) || e.await(ctx, id, changed) != nil {
			return
		}
	}
}

// await waits until a run of this engine has changed.
func (e *Engine) await(ctx context.Context, id string, changed <-chan struct{}) error {
	life, err := e.runs.Life(store.ShardOf(id))
	if err != nil {
		return err
	}
	select {
	case <-changed:
		if life.Over() {
			return life.Err()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle lets a healthy server bring the run to its end. A person decides about calls of unknown outcome, by
// asking the outside: truth returns the answer that was given, and whether there was one.
func settle(t *testing.T, name string, kv store.KV, how Options, begin Start, truth func(flawless.Doubt) (string, bool), opened ...func(*Engine)) (*Engine, flawless.Run) {
	t.Helper()
	e, err := tryOpen(t, kv, how)
	if err != nil {
		t.Fatalf("%s: opening it again: %v", name, err)
	}
	for _, tell := range opened {
		tell(e)
	}
	if _, _, err := e.Start(t.Context(), begin); err != nil { // as a client does that got no answer
		t.Fatalf("%s: starting again: %v", name, err)
	}
	for {
		r := until(t, e, begin.ID, func(r flawless.Run) bool { return unresolved(r) || r.Status.Ended() })
		if !unresolved(r) {
			return e, r
		}
		if len(r.Unresolved) == 0 || r.Problem != "" {
			t.Fatalf("%s: %+v", name, r)
		}
		doubt := r.Unresolved[0]
		d := flawless.Decision{Call: doubt.Call, Resolution: flawless.Retry}
		if text, happened := truth(doubt); happened {
			d = flawless.Decision{Call: doubt.Call, Resolution: flawless.Respond, Body: []byte(text)}
		}
		if _, err := e.Resolve(t.Context(), begin.ID, d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// crash runs the workflow with every kind of call over a server that dies once, continues over what
// is left, and checks what the outside saw. It returns whether the server died at all.
func crash(t *testing.T, name string, d disk, left int, after bool, how Options, kinds func(die func()) []effect.Kind) (died bool) {
	t.Helper()
	out := newOutside(t)
	in := map[string]any{"url": out.URL, "dead": deadURL}
	begin := Start{Module: "guest", Workflow: "everything", Input: input(t, in), ID: "run"}
	first := newMortal(d.open(t), left, after)
	dying := how
	dying.Kinds = kinds(first.die)
	died = runUntilDeath(t, name, d, first, dying, begin)
	e, r := settle(t, name, d.open(t), how, begin, func(doubt flawless.Doubt) (string, bool) {
		if strings.HasSuffix(doubt.Request, in["dead"].(string)) {
			return "", false
		}
		if !strings.HasSuffix(doubt.Request, "/once") {
			t.Fatalf("%s: a call is in doubt that should not be: %+v", name, doubt)
		}
		return "did /once", out.count("/once") > 0
	})
	defer d.crash()
	defer e.Kill()
	if r.Status != flawless.Completed {
		t.Fatalf("%s: it is %+v %+v", name, r, r.Failure)
	}
	if n := out.count("/once"); n != 1 {
		t.Errorf("%s: a call that is not idempotent was seen %d times", name, n)
	}
	if n := out.count("/told"); n > 1 {
		t.Errorf("%s: a call whose interruption is reported was seen %d times", name, n)
	}
	for _, path := range []string{"/idempotent", "/get"} {
		if n := out.count(path); n < 1 || n > 2 {
			t.Errorf("%s: %s was seen %d times", name, path, n)
		}
	}
	if out.count("/told") == 0 && !strings.Contains(string(r.Output), `"Told":"interrupted"`) {
		t.Errorf("%s: the code was told of an answer nobody gave: %s", name, r.Output)
	}
	for _, want := range []string{`"Once":"did /once"`, `"Put":"did /idempotent"`, `"Get":"did /get"`, `"NotSent":"dial"`, `"Slept":true`} {
		if !strings.Contains(string(r.Output), want) {
			t.Errorf("%s: output %s lacks %s", name, r.Output, want)
		}
	}
	if d, err := e.Data(t.Context(), "run"); err != nil || string(d) != `{"after":"all"}` {
		t.Errorf("%s: data %s, %v", name, d, err)
	}
	checkLog(t, e, name)
	return died
}

// checkLog takes the run again from its log, from the first turn to the last.
func checkLog(t *testing.T, e *Engine, name string) {
	t.Helper()
	if err := e.verify(t.Context(), "run"); err != nil {
		t.Errorf("%s: the replay: %v", name, err)
	}
}

func plainKinds(func()) []effect.Kind { return effect.Kinds(effect.Options{}) }

// lot is what a server that is going to die lives with.
type lot struct {
	name string
	disk func() disk
	how  Options
}

func lots() []lot {
	inMemory := func() disk { return &memory{mem.New()} }
	return []lot{
		{"mem", inMemory, Options{}},
		{"pebble", func() disk { return &volatile{fs: vfs.NewCrashableMem()} }, Options{}},
		{"frozen after every turn", inMemory, Options{Freezing: Freezing{Turns: 1}}},
		{"frozen and thawed at every turn", inMemory, Options{Freezing: Freezing{Units: 1}, Rest: 1}},
		{"replayed at every turn", inMemory, Options{Freezing: Freezing{Never: true}, Rest: 1}},
	}
}

// TestCrashEverywhere is promises 1, 2, 3 and 5: a run with every kind of call, and a server that
// dies before and after every durable write and after every byte of an exchange.
func TestCrashEverywhere(t *testing.T) {
	t.Parallel()
	crashEverywhere(t, lots(), 1)
}

// crashEverywhere has the servers of lots die at every write and byte, or at a far-th of them.
func crashEverywhere(t *testing.T, lots []lot, far int) {
	for _, row := range lots {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at every write, after it %v", row.name, after), func(t *testing.T) {
				t.Parallel()
				n, pace := 1, far
				if testing.Short() {
					pace = 4 * far
				}
				for crash(t, fmt.Sprintf("write %d", n), row.disk(), n, after, row.how, plainKinds) {
					n += pace
				}
				if n < 10 {
					t.Errorf("it died at %d writes only: the test proves nothing", n)
				}
			})
		}
		for _, incoming := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at every byte, incoming %v", row.name, incoming), func(t *testing.T) {
				t.Parallel()
				n, step := 1, 1
				if testing.Short() {
					step = 97 * far
				} else if row.name != "mem" {
					step = 41 * far
				}
				for ; ; n += step {
					wire := &cable{incoming: incoming}
					wire.left.Store(int64(n))
					kinds := func(die func()) []effect.Kind {
						wire.die = die
						return effect.Kinds(effect.Options{HTTP: effect.NewClient(effect.ClientOptions{Dial: wire.dial}, nil)})
					}
					if !crash(t, fmt.Sprintf("byte %d", n), row.disk(), -1, false, row.how, kinds) {
						break
					}
				}
				if n < 100 {
					t.Errorf("it died at %d bytes only: the test proves nothing", n)
				}
			})
		}
	}
}

// scriptStep draws a step whose requests have paths of their own.
func scriptStep(rt *rapid.T, n *int, deep bool) map[string]any {
	*n++
	path := fmt.Sprintf("/%d", *n)
	switch kind := rapid.SampledFrom([]string{"post", "put", "sleep", "data", "both"}).Draw(rt, "kind"); {
	case kind == "sleep":
		return map[string]any{"sleep": rapid.IntRange(1, 2000).Draw(rt, "microseconds")}
	case kind == "data":
		return map[string]any{"data": *n}
	case kind == "both" && deep:
		var steps []any
		for range rapid.IntRange(2, 4).Draw(rt, "side by side") {
			steps = append(steps, scriptStep(rt, n, false))
		}
		return map[string]any{"both": steps}
	case kind == "put":
		return map[string]any{"put": "/put" + path}
	}
	return map[string]any{"post": "/post" + path}
}

// TestRandomScriptsSurviveRandomCrashes compares what the outside saw with what it may have seen:
// each POST once, each idempotent request at least once, and every answer in the output.
func TestRandomScriptsSurviveRandomCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		out := newOutside(t)
		n := 0
		var steps []any
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			steps = append(steps, scriptStep(rt, &n, true))
		}
		begin := Start{Module: "guest", Workflow: "script", Input: input(t, map[string]any{"url": out.URL, "steps": steps}), ID: "run"}
		d := &memory{mem.New()}
		how := func() Options {
			return Options{
				Freezing: Freezing{Turns: rapid.IntRange(1, 4).Draw(rt, "turns"), Units: rapid.Uint64Range(1, 1<<20).Draw(rt, "units")},
				Rest:     rapid.SampledFrom([]time.Duration{1, time.Hour}).Draw(rt, "rest"),
			}
		}
		for range rapid.IntRange(0, 3).Draw(rt, "crashes") {
			first := newMortal(d.open(t), rapid.IntRange(1, 12).Draw(rt, "write"), rapid.Bool().Draw(rt, "after it"))
			if !runUntilDeath(t, "random", d, first, how(), begin) {
				break
			}
		}
		e, r := settle(t, "random", d.open(t), how(), begin, func(doubt flawless.Doubt) (string, bool) {
			path := strings.TrimPrefix(doubt.Request, "POST "+out.URL)
			if !strings.HasPrefix(path, "/post") {
				rt.Fatalf("a call is in doubt that should not be: %+v", doubt)
			}
			return "did " + path, out.count(path) > 0
		})
		defer e.Kill()
		if r.Status != flawless.Completed {
			rt.Fatalf("it is %+v %+v", r, r.Failure)
		}
		out.mu.Lock()
		defer out.mu.Unlock()
		for path, n := range out.seen {
			if strings.HasPrefix(path, "/post") && n != 1 {
				rt.Errorf("%s was seen %d times", path, n)
			}
		}
		for _, path := range paths(steps) {
			if out.seen[path] == 0 {
				rt.Errorf("%s was never seen", path)
			}
			if !strings.Contains(string(r.Output), `"did `+path+`"`) {
				rt.Errorf("the answer of %s is not in the output %s", path, r.Output)
			}
		}
	})
}

// paths are the requests of steps.
func paths(steps []any) (out []string) {
	for _, s := range steps {
		m := s.(map[string]any)
		for _, kind := range []string{"post", "put"} {
			if p, ok := m[kind].(string); ok {
				out = append(out, p)
			}
		}
		if both, ok := m["both"].([]any); ok {
			out = append(out, paths(both)...)
		}
	}
	return out
}

// cable is a connection that takes its server with it when so many bytes have passed.
type cable struct {
	left     atomic.Int64
	incoming bool
	die      func()
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cut{conn, c}, nil
}

// pass says how many of n bytes pass, and whether that was the end.
func (c *cable) pass(n int) (int, bool) {
	left := c.left.Add(-int64(n))
	if left > 0 {
		return n, false
	}
	return max(n+int(left), 0), true
}

type cut struct {
	net.Conn
	c *cable
}

func (c *cut) Write(b []byte) (int, error) {
	if c.c.incoming {
		return c.Conn.Write(b)
	}
	n, end := c.c.pass(len(b))
	if !end {
		return c.Conn.Write(b)
	}
	c.c.die()
	_, _ = c.Conn.Write(b[:n])
	_ = c.Close()
	return n, net.ErrClosed
}

func (c *cut) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.c.incoming || n == 0 {
		return n, err
	}
	n, end := c.c.pass(n)
	if end {
		c.c.die()
		_ = c.Close()
		return n, net.ErrClosed
	}
	return n, err
}

// verify takes a run again from its log and compares every call. It touches neither the run nor the
// world.
func (e *Engine) verify(ctx context.Context, id string) error {
	var first flawless.Start
	for rec, err := range e.store.Log(ctx, id, 0) {
		if err != nil {
			return err
		}
		if len(rec.Entries) == 0 || rec.Entries[0].Start == nil {
			return fmt.Errorf("the log of run %s does not begin with a start: %w", id, flawless.Damaged)
		}
		first = *rec.Entries[0].Start
		break
	}
	l, err := e.library.Load(ctx, first.Digest)
	if err != nil {
		return err
	}
	inst, err := l.Guest().Start(ctx, guest.Start{Run: id, Module: first.Module, Workflow: first.Workflow, Input: first.Input, Seed: first.Seed, Time: first.Time, URL: first.URL})
	if err != nil {
		return err
	}
	defer inst.Release()
	return replay.Continue(ctx, inst, id, e.store.Log(ctx, id, 0), nil, func(t *flawless.Turn, out guest.Out) error {
		if out.Cost != t.Cost || out.Wake != t.Wake {
			return fmt.Errorf("turn %d cost %d and sleeps until %d, in the log %d and %d", t.N, out.Cost, out.Wake, t.Cost, t.Wake)
		}
		return nil
	})
}
