package core

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// A store that is a copy of another one does not know what that one has done since. So what was open in it
// is held back: a run that is held takes no turn and begins no call, and waits for a person as one that is
// paused. Children that it still has to start are held, too. Runs that are started later are not.

// Hold returns the entry that holds a run back, or none where it is held or has nothing left to do.
func (s *State) Hold(p flawless.Pause, now int64) []flawless.Entry {
	if s.held != nil || s.status != "" && !s.Active() {
		return nil
	}
	return []flawless.Entry{{At: max(now, s.at), Pause: &p}}
}

// putOff is lost for a run that is held back: what would be sent again, or waits for a place towards its
// host, waits for the run to be resumed as for the time of its next try. A try that was under way is begun anew
// then, with its whole time-out. The calls of an ended run, which nobody resumes, are in doubt.
func (s *State) recoverHeld(now int64) (out []flawless.Entry) {
	const why = "the engine stopped after the call was begun and before its outcome was written, and this store is a copy"
	at := max(now, s.at)
	for _, c := range s.OpenCalls() {
		if c.invalid != nil || c.kind.Perform == nil || c.unknownReason != "" || s.status == "" && c.nextAt != 0 {
			continue
		}
		switch {
		case s.status != "":
			out = append(out, c.withKeyTime(flawless.Entry{At: at, Unknown: &flawless.Unknown{Call: c.N, Reason: "this store is a copy, and the original may have made the call"}}, 0))
		case c.awaitsPermit:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt, Next: at, Anew: c.fresh, Result: "held back: this store is a copy"}})
		case c.policy.Idempotent:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt, Next: at, Anew: true, Result: why + "; it is idempotent and sent again when the run is resumed"}})
		case c.policy.Tell:
			out = append(out, c.withKeyTime(flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.UnknownAnswer(s.id, c.Call, false, why, "", 0), Note: why}}, 0))
		default:
			out = append(out, c.withKeyTime(flawless.Entry{At: at, Unknown: &flawless.Unknown{Call: c.N, Reason: why}}, 0))
		}
	}
	return out
}
