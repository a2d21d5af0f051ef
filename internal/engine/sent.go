package engine

import (
	"context"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// maxSent is of how many calls in doubt it is told what was sent.
const maxSent = 20

// WithSent returns a run with what was sent by its calls that are in doubt, as the log has it. Of a call whose
// turn was removed from the log nothing is told.
func (e *Engine) WithSent(ctx context.Context, run flawless.Run) (flawless.Run, error) {
	if len(run.Unresolved) == 0 {
		return run, nil
	}
	all := append([]flawless.Doubt(nil), run.Unresolved...)
	made := map[int]*sending{}
	for _, d := range all[:min(len(all), maxSent)] {
		made[d.Call] = nil
	}
	var start *flawless.Start
	for rec, err := range e.store.Log(ctx, run.ID, 0) {
		if err != nil {
			return run, nil // it is told of the run without its log, too
		}
		for _, x := range rec.Entries {
			if x.Start != nil {
				start = x.Start
			}
			follow(made, x, rec.Seq > 0)
		}
	}
	for i, d := range all {
		s := made[d.Call]
		if s == nil || s.call.Kind != effect.HTTP || start == nil {
			continue
		}
		by := run.ID
		if !s.own {
			by = e.caller(ctx, by, start, s.turn)
		}
		sent, err := effect.SentBy(by, s.call)
		if err != nil {
			continue // it was never sent
		}
		sent.Try, sent.Begun = s.try, time.Unix(0, s.at)
		all[i].Sent = sent
	}
	run.Unresolved = all
	return run, ctx.Err()
}

// sending is the newest try of a call.
type sending struct {
	call flawless.Call
	turn int
	try  int
	at   int64
	own  bool // begun by this run, not in a past that it shares
}

// follow takes in an entry about calls. The first record of a fork is the past of another run.
func follow(made map[int]*sending, x flawless.Entry, own bool) {
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

// caller is the run that took a turn which a run has in its log: itself, or the one whose past it shares. The
// outside knows its calls by that one's id.
func (e *Engine) caller(ctx context.Context, id string, s *flawless.Start, turn int) string {
	for s.Origin != nil && turn <= s.Origin.Turn && s.Origin.Of != id {
		id = s.Origin.Of
		before, err := e.begun(ctx, id)
		if err != nil {
			break
		}
		s = before
	}
	return id
}
