package rehearsal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// Options says what is rehearsed.
type Options struct {
	Guest    *guest.Runtime // needed, as are Binary, Workflow and Outside
	Binary   []byte
	Workflow string
	Input    json.RawMessage // nil is null
	Outside  http.Handler    // answers every request, whatever its host; may be called concurrently
	Start    time.Time       // of virtual time; zero is 2026-01-01T00:00:00Z
	Limit    time.Duration   // of real time, for one life of the workflow; 0 is a minute
	Module   string          // how the code calls its own module; "" is what that says of itself, or else File
	File     string
	Secrets  []flawless.OpenSecret
}

// retryFor is for how long failed calls are retried in a rehearsal, in virtual time: long enough for a handler
// that fails a few times, and short enough to come to the end of a workflow whose handler always fails.
const retryFor = time.Minute

// Result is what came of a rehearsal.
type Result struct {
	Run      flawless.Run      `json:"run"`
	Log      []flawless.Record `json:"log"`
	Data     json.RawMessage   `json:"data,omitempty" redact:"-"`
	Requests []Request         `json:"requests"` // that the outside saw, in order
	Virtual  time.Duration     `json:"virtual_ns"`
}

// runID is that of the run that is rehearsed, and unnamed the name of a module that has none.
const (
	runID   = "rehearsal"
	unnamed = "rehearsed"
)

// Run runs the workflow once, to its end. A run that fails is a result; an error is one that can never
// end, or could not begin.
func Run(ctx context.Context, o Options) (Result, error) {
	s, err := newStage(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	l, err := s.life(&mortal{KV: s.db.Clone()})
	if err != nil {
		return Result{}, err
	}
	defer l.close()
	if err := l.play(ctx); err != nil {
		return Result{}, err
	}
	return l.result(ctx)
}

// stage is what all lives of a rehearsal share.
type stage struct {
	Options
	module *guest.Module
	db     *mem.DB // with the module in it
}

func newStage(ctx context.Context, o Options) (*stage, error) {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	s := &stage{Options: o, db: mem.New()}
	var err error
	if s.module, err = o.Guest.Load(ctx, o.Binary, nil); err != nil {
		return nil, err
	}
	if s.Module = cmp.Or(o.Module, s.module.Manifest().Name, o.File, unnamed); flawless.CheckName("a name", s.Module) != nil {
		s.Module = unnamed
	}
	l, err := s.life(&mortal{KV: s.db})
	if err == nil {
		_, _, err = l.engine.AddModule(ctx, s.Module, o.Binary, nil)
		l.close()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() { _ = s.module.Close(context.Background()) }

// life is the time from one start of an engine to its death.
type life struct {
	s       *stage
	kv      *mortal
	outside *outside
	owned   bool // the outside is closed with it
	web     *effect.Client
	clock   *clock.Virtual
	engine  *engine.Engine
}

// life starts an engine.
func (s *stage) life(kv *mortal) (*life, error) {
	o, err := newOutside(s.Outside, effect.Redactor(s.Secrets))
	if err != nil {
		return nil, err
	}
	l := &life{s: s, kv: kv, outside: o, owned: true, clock: clock.NewVirtual(s.Start)}
	if err := l.begin(); err != nil {
		o.close()
		return nil, err
	}
	return l, nil
}

// again starts an engine on what the one before has left, with the same outside and clock.
func (l *life) again(kv *mortal) (*life, error) {
	next := &life{s: l.s, kv: kv, outside: l.outside, clock: l.clock}
	return next, next.begin()
}

func (l *life) begin() error {
	st, err := store.Open(context.Background(), l.kv)
	if err != nil {
		return err
	}
	l.web = effect.NewClient(effect.ClientOptions{Dial: l.outside.dial, TLS: &tls.Config{InsecureSkipVerify: true}, // it is in this process
		Secrets: func() []flawless.OpenSecret { return l.s.Secrets }})
	kinds := effect.Kinds(effect.Options{HTTP: l.web})
	if len(l.s.Secrets) == 0 { // placeholders change where a part ends
		reads := &streams{web: l.web, outside: l.outside}
		for i := range kinds {
			if kinds[i].Name == effect.Read {
				kinds[i].Perform = reads.read
			}
		}
	}
	l.engine, err = engine.Open(context.Background(), engine.Options{Store: st, Guest: l.s.Guest, Kinds: kinds,
		Virtual: l.clock, RetryFor: new(retryFor), Loaded: []*guest.Module{l.s.module},
		Seed: func(run string) []byte { sum := sha256.Sum256([]byte("seed of " + run)); return sum[:] }})
	return err
}

func (l *life) close() {
	if l.engine != nil {
		l.engine.Kill()
	}
	l.web.Close()
	if l.owned {
		l.outside.close()
	}
}

// errDied is why a life was not played to the end.
var errDied = errors.New("the engine was killed")

// play starts the run, or finds it, and lets it come to its end.
func (l *life) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.s.Limit, time.Minute))
	defer cancel()
	stop := context.AfterFunc(l.kv.died(), cancel)
	defer stop()
	_, _, err := l.engine.Start(ctx, engine.Start{Module: l.s.Module, Workflow: l.s.Workflow, Input: l.s.Input, ID: runID})
	if err == nil {
		err = l.end(ctx)
	}
	switch {
	case l.kv.isDead():
		return errDied
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the workflow did not end within %v of computation: %w", cmp.Or(l.s.Limit, time.Minute), flawless.TooLarge)
	}
	return err
}

// end waits until the run has ended. What is in doubt is decided by what the outside saw, as a person
// would.
func (l *life) end(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	waiting := 0
	for {
		r, err := l.engine.Run(ctx, runID)
		switch {
		case err != nil:
			return err
		case r.Problem != "":
			return fmt.Errorf("the run was quarantined: %s: %w", r.Problem, flawless.Diverged)
		case r.Status.Ended():
			return nil
		case len(r.Unresolved) > 0:
			if err := l.decide(ctx, r.Unresolved[0].Call); err != nil {
				return err
			}
			continue
		case l.clock.Still():
			if waiting++; waiting > 50 {
				return fmt.Errorf("the workflow waits for something that a test cannot provide: a message, a promise or a decision: %w", flawless.Conflict)
			}
		default:
			waiting = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// decide says what became of a call of unknown outcome. Where the code itself asks for a person, there is
// none: it is told so, since trying again might never end.
func (l *life) decide(ctx context.Context, call int) error {
	d := flawless.Decision{Call: call, Resolution: flawless.Retry, Who: "rehearsal"}
	c, err := l.call(ctx, call)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%s-%d", runID, call)
	if c.Kind == effect.Doubt {
		d.Resolution, d.Text = flawless.Tell, "nobody can decide in a test"
	} else if streamed(c) {
		l.outside.repeat(ctx, key) // the code gets what was answered in the same parts
	} else if seen, err := l.outside.answer(key); err == nil {
		d.Resolution, d.Status, d.Body = flawless.Respond, seen.Status, []byte(seen.Response)
	}
	_, err = l.engine.Resolve(ctx, runID, d)
	return err
}

// call returns a call of the run.
func (l *life) call(ctx context.Context, n int) (flawless.Call, error) {
	log, err := l.engine.Log(ctx, runID, 0, 0)
	for _, rec := range log {
		for _, e := range rec.Entries {
			if e.Turn == nil {
				continue
			}
			if i := slices.IndexFunc(e.Turn.Calls, func(c flawless.Call) bool { return c.N == n }); i >= 0 {
				return e.Turn.Calls[i], nil
			}
		}
	}
	return flawless.Call{}, err
}

// result collects what came of the run.
func (l *life) result(ctx context.Context) (Result, error) {
	out := Result{Requests: l.outside.requests(), Virtual: l.clock.Now().Sub(l.s.Start)}
	var err error
	if out.Run, err = l.engine.Run(ctx, runID); err != nil {
		return out, err
	}
	if out.Log, err = l.engine.Log(ctx, runID, 0, 0); err != nil {
		return out, err
	}
	out.Data, err = l.engine.Data(ctx, runID)
	if errors.Is(err, flawless.NotFound) {
		err = nil
	}
	return out, err
}
