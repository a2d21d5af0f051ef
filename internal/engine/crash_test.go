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

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// mortal is a database whose server dies: from one moment on nothing is written any more.
type mortal struct {
	store.KV
	left  atomic.Int64 // writes until it dies
	after bool         // it dies when the write has taken effect, and nobody is told
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

// crash runs the workflow with every kind of call over a server that dies once, goes on over what
// is left, and checks what the outside saw. It returns whether the server died at all.
func crash(t *testing.T, name string, kv store.KV, first *mortal, kinds func(die func()) []effect.Kind) (died bool) {
	t.Helper()
	out := newOutside(t)
	in := map[string]any{"url": out.URL, "dead": deadURL(t)}
	begin := Start{Module: "guest", Workflow: "everything", Input: input(t, in), ID: "run"}

	e, err := tryOpen(t, first, Options{Kinds: kinds(first.die)})
	if err == nil {
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(ended)
			if _, _, err := e.Start(ctx, begin); err == nil {
				_, _ = e.Wait(ctx, "run")
			}
		}()
		select {
		case <-first.dead:
			died = true
		case <-ended:
			died = first.isDead()
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it neither ends nor dies", name)
		}
		e.Kill()
		cancel()
		<-ended
	} else if died = first.isDead(); !died {
		t.Fatal(err)
	}

	e, err = tryOpen(t, kv, Options{})
	if err != nil {
		t.Fatalf("%s: opening it again: %v", name, err)
	}
	defer e.Kill()
	r, _, err := e.Start(t.Context(), begin) // as a client does that got no answer
	if err != nil {
		t.Fatalf("%s: starting again: %v", name, err)
	}
	for {
		r = until(t, e, "run", func(r flawless.Run) bool { return unresolved(r) || r.Status.Ended() })
		if !unresolved(r) {
			break
		}
		if len(r.Unresolved) != 1 || r.Problem != "" {
			t.Fatalf("%s: %+v", name, r)
		}
		doubt := r.Unresolved[0]
		once := strings.HasSuffix(doubt.Request, "/once")
		if !once && !strings.HasSuffix(doubt.Request, in["dead"].(string)) {
			t.Fatalf("%s: a call is in doubt that should not be: %+v", name, doubt)
		}
		d := flawless.Decision{Call: doubt.Call, Resolution: flawless.Retry}
		if once && out.count("/once") > 0 { // a person asks the other side
			d = flawless.Decision{Call: doubt.Call, Resolution: flawless.Respond, Body: []byte("did /once")}
		}
		if _, err := e.Resolve(t.Context(), "run", d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if r.Status != flawless.Completed {
		t.Fatalf("%s: it is %+v %+v", name, r, r.Failure)
	}
	if n := out.count("/once"); n != 1 {
		t.Errorf("%s: a call that is not idempotent was seen %d times", name, n)
	}
	if n := out.count("/told"); n > 1 {
		t.Errorf("%s: a call whose interruption is told was seen %d times", name, n)
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

// TestCrashEverywhere is promises 1, 2, 3 and 5: a run with every kind of call, and a server that
// dies before and after every durable write and after every byte of an exchange.
func TestCrashEverywhere(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("at every write, after it %v", after), func(t *testing.T) {
			t.Parallel()
			n := 1
			for ; ; n++ {
				kv := mem.New()
				if !crash(t, fmt.Sprintf("write %d", n), kv, newMortal(kv, n, after), plainKinds) {
					break
				}
			}
			if n < 10 {
				t.Errorf("it died at %d writes only: the test proves nothing", n)
			}
		})
	}
	for _, incoming := range []bool{false, true} {
		t.Run(fmt.Sprintf("at every byte, incoming %v", incoming), func(t *testing.T) {
			t.Parallel()
			n, step := 1, 7
			for ; ; n += step {
				kv := mem.New()
				wire := &cable{incoming: incoming}
				wire.left.Store(int64(n))
				kinds := func(die func()) []effect.Kind {
					wire.die = die
					return effect.Kinds(effect.Options{HTTP: effect.NewClient(effect.ClientOptions{Dial: wire.dial})})
				}
				if !crash(t, fmt.Sprintf("byte %d", n), kv, newMortal(kv, -1, false), kinds) {
					break
				}
			}
			if n < 100 {
				t.Errorf("it died at %d bytes only: the test proves nothing", n)
			}
		})
	}
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
	l, err := e.module(ctx, first.Digest)
	if err != nil {
		return err
	}
	inst, err := l.module.Start(ctx, guest.Start{Run: id, Module: first.Module, Workflow: first.Workflow, Input: first.Input, Seed: first.Seed, Time: first.Time})
	if err != nil {
		return err
	}
	defer inst.Release()
	return replay(ctx, inst, id, e.store.Log(ctx, id, 0), nil)
}
