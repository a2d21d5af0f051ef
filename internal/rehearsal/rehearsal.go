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

// Options says what to rehearse.
type Options struct {
	Guest    *guest.Runtime // required, as are Binary, Workflow and Outside
	Binary   []byte
	Workflow string
	Input    json.RawMessage // nil is null
	Outside  http.Handler    // answers the requests to all hosts; may be called concurrently
	Start    time.Time       // virtual start time; zero is 2026-01-01T00:00:00Z
	Limit    time.Duration   // real time for one run of the workflow; 0 is a minute
	Module   string          // how the code calls its own module; "" is what that says of itself, or else File
	File     string
	Secrets  []flawless.OpenSecret
}

// retryFor is the virtual time for which failed calls are retried: long enough for a handler that fails a few times,
// short enough for a workflow whose handler always fails to end.
const retryFor = time.Minute

// Result is the result of a rehearsal.
type Result struct {
	Run      flawless.Run      `json:"run"`
	Log      []flawless.Record `json:"log"`
	Data     json.RawMessage   `json:"data,omitempty" redact:"-"`
	Requests []Request         `json:"requests"` // received by the simulated server, in order
	Virtual  time.Duration     `json:"virtual_ns"`
}

// runID is the id of the rehearsed run, and unnamed the name of an unnamed module.
const (
	runID   = "rehearsal"
	unnamed = "rehearsed"
)

// Run runs the workflow once to its end. A failed run is a result; an error means that the run could not start or
// cannot end.
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

// stage is shared by all runs of a rehearsal.
type stage struct {
	Options
	module *guest.Module
	db     *mem.DB // database that contains the module
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

// life is the time from the start of an engine to its crash.
type life struct {
	s       *stage
	kv      *mortal
	outside *outside
	owned   bool // whether to close the simulated server with it
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

// again starts an engine on the data of the previous one, with the same server and clock.
func (l *life) again(kv *mortal) (*life, error) {
	next := &life{s: l.s, kv: kv, outside: l.outside, clock: l.clock}
	return next, next.begin()
}

func (l *life) begin() error {
	st, err := store.Open(context.Background(), l.kv)
	if err != nil {
		return err
	}
	insecure := &tls.Config{InsecureSkipVerify: true} // the server is in this process
	l.web = effect.NewClient(effect.ClientOptions{Dial: l.outside.dial, TLS: insecure}, func() []flawless.OpenSecret { return l.s.Secrets })
	kinds := effect.Kinds(effect.Options{HTTP: l.web})
	if len(l.s.Secrets) == 0 { // placeholders change the boundaries of parts
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

// errDied is the error of a run that was interrupted by a crash.
var errDied = errors.New("the engine was killed")

// play starts or finds the run and waits for its end.
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

// end waits until the run has ended. It resolves calls with an unknown outcome by what the simulated server saw, as a
// person would.
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

// decide resolves a call with an unknown outcome. If the code itself asks for a person, the run fails, since trying
// again might never end.
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
		l.outside.repeat(ctx, key) // the code gets the response in the same parts
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

// result collects the result of the run.
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
