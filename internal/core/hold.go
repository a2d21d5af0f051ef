package core

import (
	"github.com/flawless-engine/flawless"
)

// A copy of a store does not know what the original has done since. So the runs that are open in a copy are held: a
// held run takes no turn and begins no call until a person resumes it. So are the children that it still has to start.
// Runs that are started later are not held. The same goes for a store whose database may have lost acknowledged writes.

// Hold returns the entry that holds a run, or none if it is held already or has nothing left to do.
func (s *State) Hold(p flawless.Pause, now int64) []flawless.Entry {
	if s.held != nil || s.status != "" && !s.Active() {
		return nil
	}
	return []flawless.Entry{{At: max(now, s.at), Pause: &p}}
}

// recoverHeld is Recover for a held run. A call that would be sent again, or waits for a permit, waits for the run to
// be resumed instead, like for its next attempt. An attempt that was in flight is then repeated with its full time-out.
// The calls of a run that has ended, which nobody resumes, have an unknown outcome.
func (s *State) recoverHeld(now int64, terms func(*OpenCall) Terms) (out []flawless.Entry) {
	because, may := "this store is a copy", "the original may have made the call"
	if s.held.Lost {
		because, may = "the database may have lost acknowledged writes", "the call may have been made since"
	}
	why := "the engine stopped after the call began and before its outcome was logged, and " + because
	at := max(now, s.at)
	for _, c := range s.OpenCalls() {
		if c.invalid != nil || c.kind.Perform == nil || c.unknownReason != "" || s.status == "" && c.nextAt != 0 {
			continue
		}
		switch {
		case s.status != "":
			out = append(out, c.concluded(flawless.Entry{At: at, Unknown: &flawless.Unknown{Call: c.N, Reason: because + ", and " + may}}, terms(c)))
		case c.awaitsPermit:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt, Next: at, Anew: c.fresh, Result: "held: " + because}})
		case c.policy.Idempotent:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt, Next: at, Anew: true, Result: why + "; it is idempotent, so it is sent again when the run is resumed"}})
		default:
			out = append(out, c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, why, "", 0, nil), terms(c)))
		}
	}
	return out
}
