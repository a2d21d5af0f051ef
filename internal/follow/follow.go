// Package follow lets clients wait for runs and follow their logs, also those of runs that other servers own.
//
// What is told is durable. A follower goes on when another server takes over its run: it asks the new owner when there is
// something to read, and reads it from the store. The package begins nothing and writes nothing.
package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options configures Runs. Everything is required.
type Options struct {
	Hub *hub.Hub // told of what becomes durable
	// Run returns the durable state of a run of any server, and Log the records of its log. Data returns what it published last,
	// or flawless.NotFound.
	Run  func(ctx context.Context, id string) (flawless.Run, error)
	Log  func(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error]
	Data func(ctx context.Context, id string) (json.RawMessage, error)
	// Row returns a run as lists show it, or flawless.NotFound.
	Row func(ctx context.Context, id string) (flawless.Run, error)
	// Owns returns nil if this server owns a run, else flawless.Elsewhere; Part returns the lifecycle of the shard then.
	Owns  func(run string) error
	Part  func(sh store.Shard) (*lifecycle.Lifecycle, error)
	Life  *lifecycle.Lifecycle // of the server
	Peers *rpc.Endpoint        // the other servers
}

// Runs are the runs of all servers as their followers see them. All methods may be called concurrently.
type Runs struct {
	o       Options
	reading *semaphore.Weighted // held by followers while they read
}

// New returns Runs, and serves followers at other servers.
func New(o Options) *Runs {
	r := &Runs{o: o, reading: semaphore.NewWeighted(maxReaders)}
	opAwait.Handle(o.Peers, r.awaitHere)
	return r
}

// Wait returns the run when it has ended, or ctx's error. It goes on when another server takes over the run.
func (f *Runs) Wait(ctx context.Context, id string) (flawless.Run, error) {
	return f.waitAnywhere(ctx, awaited{Run: id}, func() (flawless.Run, error) { return f.waitHere(ctx, id) })
}

// Settled returns the run when it has ended or is unresolved, or ctx's error. It goes on when another server takes over the
// run.
func (f *Runs) Settled(ctx context.Context, id string) (flawless.Run, error) {
	return f.waitAnywhere(ctx, awaited{Run: id, Rest: true}, func() (flawless.Run, error) { return f.settledHere(ctx, id) })
}

func (f *Runs) waitAnywhere(ctx context.Context, a awaited, here func() (flawless.Run, error)) (flawless.Run, error) {
	for {
		r, err := here()
		if !errors.Is(err, flawless.Elsewhere) {
			return r, err
		}
		if came, err := f.awaitElsewhere(ctx, a, err); err != nil || came.So {
			return came.Run, err
		}
	}
}

// waitHere is Wait for a run that this engine owns, or that has ended.
func (f *Runs) waitHere(ctx context.Context, id string) (flawless.Run, error) {
	t, done := f.o.Hub.Follow(id)
	defer done()
	r, err := f.o.Run(ctx, id)
	if err != nil || r.Status.Ended() {
		return r, err
	}
	if err := f.await(ctx, id, t.Ended()); err != nil {
		return r, err
	}
	if end := t.End(); end != nil {
		return *end, nil
	}
	return r, f.o.Life.Err()
}

// settledHere is Settled for a run that this engine owns, or that rests.
func (f *Runs) settledHere(ctx context.Context, id string) (flawless.Run, error) {
	t, done := f.o.Hub.Follow(id)
	defer done()
	r, err := f.o.Run(ctx, id)
	if err != nil || r.Status.Ended() || r.Status == flawless.Unresolved {
		return r, err
	}
	for {
		rest, rests := t.Resting()
		if rest != nil {
			return *rest, nil
		}
		if err := f.await(ctx, id, rests); err != nil {
			return r, err
		}
		if rest, _ = t.Resting(); rest == nil && f.o.Life.Stopping() {
			return r, f.o.Life.Err()
		}
	}
}

// await waits until a run has changed. It returns flawless.Elsewhere if another server owns the run, which is then the one
// that knows of changes.
func (f *Runs) await(ctx context.Context, id string, changed <-chan struct{}) error {
	life, err := f.o.Part(store.ShardOf(id))
	if err != nil {
		return fmt.Errorf("following run %s: %w", id, err)
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

// Follow yields the records of a run, beginning with number from, as they become durable. It ends when the run has ended
// and all its calls are over, or with an error. It goes on when another server takes over the run.
func (f *Runs) Follow(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		t, done := f.o.Hub.Follow(id)
		defer func() { done() }()
		for {
			changed := t.Changed()
			run, part, more, err := f.readOn(ctx, id, from)
			for _, rec := range part {
				if !yield(rec, nil) {
					return
				}
				from = rec.Seq + 1
			}
			switch {
			case err != nil:
			case more:
				continue
			case run.Status.Ended():
				return
			default:
				if err = f.await(ctx, id, changed); errors.Is(err, flawless.Elsewhere) {
					_, err = f.awaitElsewhere(ctx, awaited{Run: id, Record: true, From: from}, err)
					done() // the topic is closed if this engine has lost the run
					t, done = f.o.Hub.Follow(id)
				}
			}
			if err != nil {
				yield(flawless.Record{}, err)
				return
			}
		}
	}
}

// batch is how many records a follower reads at a time, or fewer once they have batchBytes. The follower may take its time to
// pass them on, so nothing of the database is held meanwhile. maxReaders is how many followers read at the same time.
const (
	batch      = 100
	batchBytes = 1 << 20
	maxReaders = 16
)

// readOn returns a run, the next records of its log, and whether there are more. Few followers read at the same time: of
// ten thousand that follow one run, all want to when it changes.
func (f *Runs) readOn(ctx context.Context, id string, from uint64) (run flawless.Run, part []flawless.Record, more bool, err error) {
	if err := f.reading.Acquire(ctx, 1); err != nil {
		return run, nil, false, err
	}
	defer f.reading.Release(1)
	if run, err = f.o.Run(ctx, id); err != nil {
		return run, nil, false, err
	}
	size := 0
	for rec, err := range f.o.Log(ctx, id, from) {
		if err != nil || len(part) == batch || size > batchBytes {
			return run, part, err == nil, err
		}
		part = append(part, rec)
		size += rec.Size()
	}
	return run, part, false, nil
}

// Change is a run that has changed.
type Change struct {
	Run *flawless.Run // nil if only Epoch and N are new
	// Epoch and N say up to where the reader has all changes of this server; Epoch is "" if that is where it was before.
	Epoch string
	N     uint64
	// Reset says that changes before this one may be missing.
	Reset bool
}

// Watch yields every run whose durable state changes from now on, until ctx ends or the engine stops.
func (f *Runs) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	changes := f.Changes(ctx, "", 0)
	return func(yield func(flawless.Run, error) bool) {
		for c, err := range changes {
			if err != nil {
				yield(flawless.Run{}, err)
				return
			}
			if c.Run != nil && !yield(*c.Run, nil) {
				return
			}
		}
	}
}

// Changes is [Runs.Watch] for a reader that has all changes up to one. The first change has no run and says where the reader
// is, and is a reset if it is not known what has changed since. Then come the runs that have changed since, as they are now.
// With epoch "" it begins now.
func (f *Runs) Changes(ctx context.Context, epoch string, from uint64) iter.Seq2[Change, error] {
	w, done := f.o.Hub.Watch()
	current, now := f.o.Hub.Now()
	start := now
	var missed []string
	reset := epoch != "" && epoch != current
	if epoch == current {
		var known bool
		if missed, now, known = f.o.Hub.Since(from); !known {
			reset = true
		}
		if start = now; known {
			start = from
		}
	}
	return func(yield func(Change, error) bool) {
		defer done()
		if !yield(Change{Epoch: current, N: start, Reset: reset}, nil) {
			return
		}
		for _, id := range missed {
			r, err := f.o.Row(ctx, id)
			if errors.Is(err, flawless.NotFound) { // it was removed
				continue
			}
			if !yield(Change{Run: &r}, err) || err != nil {
				return
			}
		}
		if start != now && !yield(Change{Epoch: current, N: now}, nil) {
			return
		}
		for {
			select {
			case <-w.More():
			case <-w.Closed():
				yield(Change{}, f.o.Life.Err())
				return
			case <-ctx.Done():
				yield(Change{}, ctx.Err())
				return
			}
			runs, upTo := w.TakeUpTo()
			for i, r := range runs {
				c := Change{Run: &r}
				if i == len(runs)-1 { // the order of the others is not that of their changes
					c.Epoch, c.N = current, upTo
				}
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// Response waits until a run has published data, which is how modules of the crate flawless respond, or has ended, and
// returns the run and its data, nil if there is none. The run continues.
func (f *Runs) Response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	if r, data, err := f.response(ctx, id); err != nil || data != nil || r.Status.Ended() {
		return r, data, err
	}
	for _, err := range f.Follow(ctx, id, 0) {
		if err != nil {
			return flawless.Run{}, nil, err
		}
		if r, data, err := f.response(ctx, id); err != nil || data != nil {
			return r, data, err
		}
	}
	return f.response(ctx, id)
}

func (f *Runs) response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	r, err := f.o.Run(ctx, id)
	if err != nil {
		return r, nil, err
	}
	data, err := f.o.Data(ctx, id)
	if errors.Is(err, flawless.NotFound) {
		return r, nil, nil
	}
	return r, data, err
}
