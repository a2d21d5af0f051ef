// Package doubt shows people what was sent by the calls whose outcome is unknown, as the logs have it.
package doubt

import (
	"context"
	"iter"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Logs reads the logs of runs.
type Logs struct {
	// Log yields the records of a log, beginning with number from.
	Log func(ctx context.Context, run string, from uint64) iter.Seq2[flawless.Record, error]
	// Begun returns the start of a run.
	Begun func(ctx context.Context, run string) (*flawless.Start, error)
}

// maxSent is the maximum number of calls for which WithSent returns what was sent.
const maxSent = 20

// WithSent returns a run with what was sent by its calls whose outcome is unknown, as the log has it. It adds nothing for
// calls whose turn was removed from the log.
func (l Logs) WithSent(ctx context.Context, run flawless.Run) (flawless.Run, error) {
	if len(run.Unresolved) == 0 {
		return run, nil
	}
	all := append([]flawless.Doubt(nil), run.Unresolved...)
	made := map[int]*sending{}
	for _, d := range all[:min(len(all), maxSent)] {
		made[d.Call] = nil
	}
	var start *flawless.Start
	for rec, err := range l.Log(ctx, run.ID, 0) {
		if err != nil {
			return run, nil // the run is of use without its log, too
		}
		for _, x := range rec.Entries {
			if x.Start != nil {
				start = x.Start
			}
			track(made, x, rec.Seq > 0)
		}
	}
	for i, d := range all {
		s := made[d.Call]
		if s == nil || s.call.Kind != effect.HTTP || start == nil {
			continue
		}
		by := run.ID
		if !s.own {
			by = l.caller(ctx, by, start, s.turn)
		}
		sent, err := effect.SentBy(by, s.call)
		if err != nil {
			continue // it was never sent
		}
		sent.Attempt, sent.Begun = s.try, time.Unix(0, s.at)
		all[i].Sent = sent
	}
	run.Unresolved = all
	return run, ctx.Err()
}

// sending is the latest attempt of a call.
type sending struct {
	call flawless.Call
	turn int
	try  int
	at   int64
	own  bool // begun by this run, not in a past that it shares
}

// track updates calls with an entry. The first record of a fork is the past of another run.
func track(made map[int]*sending, x flawless.Entry, own bool) {
	begin := func(n, try int) {
		if s := made[n]; s != nil {
			s.try, s.at, s.own = try, x.At, own
		}
	}
	switch {
	case x.Turn != nil:
		for _, c := range x.Turn.Calls {
			if _, asked := made[c.N]; asked {
				made[c.N] = &sending{call: c, turn: x.Turn.N, try: 1, at: x.At, own: own}
			}
		}
	case x.Attempt != nil && x.Attempt.Begun:
		begin(x.Attempt.Call, x.Attempt.N)
	case x.Decision != nil && x.Decision.Resolution == flawless.Retry:
		if s := made[x.Decision.Call]; s != nil {
			begin(x.Decision.Call, s.try+1)
		}
	}
}

// caller returns the run that took a turn which is in the log of run id: itself, or the run whose past it shares. The outside
// knows the calls of that turn by the id of the caller.
func (l Logs) caller(ctx context.Context, id string, s *flawless.Start, turn int) string {
	for s.Origin != nil && turn <= s.Origin.Turn && s.Origin.Of != id {
		id = s.Origin.Of
		before, err := l.Begun(ctx, id)
		if err != nil {
			break
		}
		s = before
	}
	return id
}
