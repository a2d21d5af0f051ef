package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// State is the log of one run folded into its current state. It decides but does not act: Step applies an entry and
// returns the attempts to perform once that entry is durable; the other methods return the entries that come next. It
// does no I/O and reads no clock, so a test can drive it through every interleaving.
type State struct {
	id    string
	kinds map[string]*effect.Kind

	start     flawless.Start
	turns     int   // taken
	guestTime int64 // the guest's clock, as of the last turn
	at        int64 // of the newest entry
	wake      int64 // the guest's next timer, 0 for none
	callsMade int
	cost      uint64

	open        openCalls         // not answered
	withdrawals []withdrawal      // open calls to be answered as withdrawn in the current write
	ready       []flawless.Answer // arrived and not delivered, in order of arrival

	mail         mailbox        // not received yet
	messages     int            // accepted so far
	senders      map[string]int // the newest sending call of each run
	forgotten    int            // number of senders that were forgotten since the run came into memory
	messageKeys  messageKeys
	requests     []string              // that had an effect, the newest ones last, see Once
	keyHistories map[string]keyHistory // of answered calls, see keyIdentity

	paused    *flawless.Pause
	held      *flawless.Pause // stricter than a pause: no call begins either
	cancel    *flawless.Cancel
	self      flawless.Self   // as the guest was told
	formerIDs []string        // as the guest was told before
	pastCalls int             // the last call made under a former id
	status    flawless.Status // how the run ended, "" while it is open
	output    []byte
	failure   *flawless.Failure
	endedAt   int64
	labels    map[string]string // replaced as a whole when one changes
	steps     []flawless.Step   // of sagas, taken and not undone; replaced as a whole

	foretold map[int]foretold // decisions about lost calls that the run has not made again
	toTell   []int            // calls that are answered with one of them in the current write
	stray    string           // why the run is held in the current write: it went another way than before a loss
}

// OpenCall is a call that has not been answered.
type OpenCall struct {
	flawless.Call
	kind    *effect.Kind
	madeAt  int64 // time of the turn that made it
	policy  effect.Policy
	invalid error  // why it cannot be performed; becomes its answer
	keyID   string // see keyIdentity

	attempt int   // number of the current attempt, from 1; its outcome is awaited unless nextAt is set
	nextAt  int64 // start of the next attempt, 0 if none is scheduled

	firstAt      int64             // start of the first attempt
	attemptAt    int64             // start of the current attempt
	suspectAt    int64             // start of the first attempt that may have taken effect, not counting one in flight; 0 for none
	inconclusive bool              // see keyHistory
	inProgress   bool              // the last response on its key was 409, see workInProgress
	history      keyHistory        // of attempts that are not this call's, or no longer count
	decidedAt    int64             // when code or a person decided after these to send it again
	lastFailure  *flawless.Attempt // how the last failed attempt ended
	dueAt        int64             // the engine answers the call then, with dueAnswer
	dueAnswer    flawless.Answer

	awaitsPermit bool // the next attempt waits for a rate-limit permit
	fresh        bool // a restart or a person began the current or next attempt: it has its full time-out

	withdrawnWhy string // why the code has withdrawn it, "" if it has not
	settle       bool   // the code then waits for the attempt in flight
	withdrawing  bool   // it is to be answered as withdrawn

	typed     typed               // the schema of what it waits for
	receives  *effect.ReceiveHead // the messages it waits for, nil for other kinds
	inMailbox bool

	index indexEntry

	child string // a run that answers it, see flawless.Adopted

	unknownReason string // why its outcome is unknown, "" if it is not
	unknownAt     int64
	unseen        int // see flawless.Unknown
}

// Attempt identifies one attempt at a call.
type Attempt struct{ Call, N int }

// NewState returns the state of a run with an empty log.
func NewState(id string, kinds map[string]*effect.Kind) *State {
	return &State{id: id, kinds: kinds, open: openCalls{all: map[int]*OpenCall{}, byKeyID: map[string][]*OpenCall{}}, mail: newMailbox(), senders: map[string]int{}, messageKeys: messageKeys{digests: map[string]string{}}}
}

// Step applies an entry and returns the attempts to perform once the entry is durable.
func (s *State) Step(e flawless.Entry) []Attempt {
	attempts := s.step(e)
	s.open.reindex(&s.mail)
	return attempts
}

// step changes open calls only through edit, so that Step can index them again.
func (s *State) step(e flawless.Entry) []Attempt {
	s.at = max(s.at, e.At)
	if e.Request != "" {
		s.stepRequest(e.Request)
	}
	switch {
	case e.Start != nil:
		s.start = *e.Start
		s.guestTime = e.Start.Time
		s.self = InitialSelf(s.id, s.start)
		s.labels = e.Start.Labels
	case e.Turn != nil:
		return s.stepTurn(e.Turn)
	case e.Arrival != nil:
		if c := s.open.edit(e.Arrival.Call); c != nil {
			s.rememberKey(c, e.Arrival)
			s.open.remove(c)
		}
		s.unmarkWithdrawn(e.Arrival.Call)
		if len(s.toTell) > 0 && s.toTell[0] == e.Arrival.Call {
			s.toTell = s.toTell[1:]
			delete(s.foretold, e.Arrival.Call)
		}
		s.mail.remove(e.Arrival.Message)
		if s.status == "" {
			s.ready = append(s.ready, e.Arrival.Answer)
		}
	case e.Attempt != nil:
		if c := s.open.edit(e.Attempt.Call); c != nil {
			c.unknownReason, c.unseen = "", 0 // see Learn
			c.stepAttempt(e.Attempt, e.At)
			s.shareLastWord(c.keyID, c.inProgress)
			if e.Attempt.Begun {
				return []Attempt{{c.N, c.attempt}}
			}
		}
	case e.Unknown != nil:
		if e.Unknown.Lost != nil {
			s.stepLost(e.Unknown, e.At)
		}
		if c := s.open.edit(e.Unknown.Call); c != nil {
			// A non-empty reason marks the outcome as unknown, so there must be one.
			c.unknownReason, c.unknownAt, c.nextAt, c.awaitsPermit = cmp.Or(e.Unknown.Reason, "its outcome is unknown"), e.At, 0, false
			c.withdrawing, c.history.ReachedAt, c.unseen = false, e.Unknown.Reached, e.Unknown.Unseen
			s.unmarkWithdrawn(c.N)
		}
	case e.Adopted != nil:
		if c := s.open.edit(e.Adopted.Call); c != nil {
			c.child = e.Adopted.Run
		}
	case e.Decision != nil:
		if c := s.open.edit(e.Decision.Call); c != nil && c.kind == lostKind {
			s.stepDecisionLost(c, e.Decision)
		} else if c != nil {
			retrying := c.unknownReason == "" && c.nextAt != 0
			c.unknownReason, c.unseen = "", 0
			switch e.Decision.Resolution {
			case flawless.Retry:
				if retrying { // retry now, unless the guest is behind
					c.nextAt = min(c.nextAt, e.At)
					break
				}
				c.fresh = true
				// The decision says that the call did not happen. The server may know better.
				c.history, c.decidedAt, c.unknownAt = c.historyNow(), e.At, 0
				c.firstAt, c.attemptAt, c.suspectAt, c.inconclusive, c.lastFailure = e.At, e.At, 0, false, nil
				performed := c.invalid == nil && c.kind.Perform != nil
				if performed && s.held != nil && s.status == "" { // it begins when the run is resumed
					c.nextAt = e.At
					break
				}
				c.attempt, c.nextAt = c.attempt+1, 0
				if performed {
					return []Attempt{{c.N, c.attempt}}
				}
			case flawless.Fail:
				s.open.remove(c)
			}
		}
	case e.Cancel != nil:
		s.cancel = e.Cancel
	case e.Message != nil:
		s.stepMessage(*e.Message)
	case e.Pause != nil:
		switch p := e.Pause; {
		case p.Hold:
			s.held, s.stray = p, ""
		case !p.Resume:
			s.paused = p
		case s.held != nil:
			s.held = nil
		default:
			s.paused = nil
		}
	case e.Upgrade != nil:
		s.start.Digest, s.wake = e.Upgrade.Digest, e.Upgrade.Wake
	case e.End != nil:
		f := e.End.Failure
		s.end(e.End.Status, nil, &f, s.callsMade)
	}
	return nil
}

func (s *State) stepTurn(t *flawless.Turn) (attempts []Attempt) {
	before := s.callsMade
	s.turns, s.guestTime, s.wake = t.N, t.Time, t.Wake
	s.cost += t.Cost
	s.labels = withLabels(s.labels, t.Labels)
	s.steps = flawless.OpenSteps(s.steps, t.Steps)
	if t.As != nil {
		s.formerIDs, s.self = append(s.formerIDs, s.self.Run), *t.As
		s.pastCalls = before
	}
	s.dropDelivered(t.Answers)
	for _, made := range t.Calls {
		s.callsMade = made.N
		c := s.parseCall(made, t.Time)
		if c.invalid == nil && c.kind.Note {
			if made.Kind == effect.Withdraw {
				h, _ := effect.ParseWithdraw(made) // it was parsed just now
				s.stepWithdraw(h, before)
			}
			continue
		}
		s.open.add(c)
		s.recallKey(c)
		if answered := s.meet(c); !answered && c.invalid == nil && c.kind.Perform != nil {
			attempts = append(attempts, Attempt{c.N, c.attempt})
		}
	}
	if s.stray != "" {
		for _, t := range attempts {
			s.open.edit(t.Call).postpone(s.at)
		}
		attempts = nil
	}
	if t.Ended != nil {
		switch f := t.Ended.Failure; {
		case f == nil:
			s.end(flawless.Completed, t.Ended.Output, nil, before)
		case f.Kind == "cancelled" && s.cancel != nil:
			s.end(flawless.Cancelled, nil, f, before)
		default:
			s.end(flawless.Failed, nil, f, before)
		}
	}
	if len(s.withdrawals) > 0 {
		attempts = slices.DeleteFunc(attempts, func(t Attempt) bool { return s.IsWithdrawing(t.Call) })
	}
	return attempts
}

// dropDelivered removes answers that the guest has received. They are the first ready ones, in this order, unless the
// log was made elsewhere.
func (s *State) dropDelivered(calls []int) {
	n := 0
	for n < len(calls) && n < len(s.ready) && s.ready[n].Call == calls[n] {
		n++
	}
	clear(s.ready[:n]) // release their bodies
	if s.ready = s.ready[n:]; n < len(calls) {
		delivered := map[int]bool{}
		for _, call := range calls[n:] {
			delivered[call] = true
		}
		s.ready = slices.DeleteFunc(s.ready, func(a flawless.Answer) bool { return delivered[a.Call] })
	}
}

func (s *State) parseCall(made flawless.Call, at int64) *OpenCall {
	c := &OpenCall{Call: made, kind: s.kinds[made.Kind], madeAt: at, firstAt: at, attemptAt: at, attempt: 1}
	if c.kind == nil {
		c.invalid = fmt.Errorf("unknown kind of call %q", made.Kind)
		return c
	}
	if c.policy, c.invalid = c.kind.Check(made); c.invalid == nil && c.kind.Due != nil {
		var due time.Time
		if due, c.dueAnswer, c.invalid = c.kind.Due(made, time.Unix(0, at)); !due.IsZero() {
			c.dueAt = due.UnixNano()
		}
	}
	if c.invalid == nil {
		c.keyID = keyIdentity(made.Kind, &c.policy)
	}
	if c.invalid == nil && made.Kind == effect.Receive {
		h, _ := effect.ParseReceive(made) // it was parsed just now
		c.receives = &h
	}
	return c
}

// end closes the run. Its timers become void and its errands are carried on. Attempts in flight are awaited; calls that
// may not begin any more are withdrawn. Calls numbered above before belong to the turn that ends the run.
func (s *State) end(status flawless.Status, output []byte, failure *flawless.Failure, before int) {
	s.status, s.output, s.failure, s.endedAt = status, output, failure, s.at
	s.wake, s.ready, s.paused = 0, nil, nil // unread messages are kept: people can see them
	for _, c := range s.OpenCalls() {
		switch s.open.edit(c.N); {
		case c.invalid != nil || c.kind.Perform == nil && !c.kind.Errand:
			s.open.remove(c)
			s.unmarkWithdrawn(c.N) // it may have been withdrawn in this turn, and no code is left that could learn of it
		case c.kind.Perform != nil && !s.mayBegin(c, before):
			s.markWithdrawn(c, withdrawnUnbegun(c, before, "the run "+endedText(status)))
		}
	}
}

// Consequences returns the entries that must be in the same write as those just applied: answers to calls that were
// withdrawn, are invalid or wait for a cancellation, and messages handed to the calls that receive them.
func (s *State) Consequences() (out []flawless.Entry) {
	out = s.WithdrawnEntries()
	for _, call := range s.toTell {
		out = append(out, s.toldEntry(call))
	}
	if s.status != "" {
		return out
	}
	if s.stray != "" {
		out = append(out, s.strayEntry())
	}
	withdrawn := len(out) // these come first
	for _, c := range s.open.list(invalid) {
		out = append(out, s.ArrivalEntry(c.InvalidAnswer(), nil, ""))
	}
	if s.cancel != nil {
		for _, c := range s.open.list(awaitCancel) {
			out = append(out, s.ArrivalEntry(effect.CancelAnswer(c.N, *s.cancel), nil, ""))
		}
	}
	for _, c := range s.open.list(reporting) {
		h, _ := effect.ParseDoubt(c.Call) // it was parsed before
		out = append(out, flawless.Entry{At: s.at, Unknown: &flawless.Unknown{Call: c.N, Reason: h.Reason}})
	}
	for _, m := range s.mail.matches() {
		e := s.ArrivalEntry(effect.MessageAnswer(m.call, m.message), nil, "")
		e.Arrival.Message = m.message.N
		out = append(out, e)
	}
	slices.SortStableFunc(out[withdrawn:], func(a, b flawless.Entry) int { return cmp.Compare(callOf(a), callOf(b)) })
	return out
}

// callOf returns the call that a consequence is about.
func callOf(e flawless.Entry) int {
	if e.Unknown != nil {
		return e.Unknown.Call
	}
	return e.Arrival.Call
}

// ArrivalEntry returns the entry of an answer with the stages of its exchange. The note is for people.
func (s *State) ArrivalEntry(a flawless.Answer, stages []flawless.Stage, note string) flawless.Entry {
	return flawless.Entry{At: s.at, Arrival: &flawless.Arrival{Answer: a, Stages: stages, Note: note}}
}

// OpenCalls returns the unanswered calls in the order in which they were made.
func (s *State) OpenCalls() []*OpenCall {
	return slices.SortedFunc(maps.Values(s.open.all), byNumber)
}

func byNumber(a, b *OpenCall) int { return cmp.Compare(a.N, b.N) }

// withOpenSteps adds the saga steps that are still open to a failure that ends the run now.
func (s *State) withOpenSteps(f flawless.Failure) flawless.Failure { return f.WithOpenSteps(s.steps) }

// NameOf returns the name of who made a decision, or "somebody" if there is none.
func NameOf(who string) string { return cmp.Or(who, "somebody") }

// InitialSelf returns the identity that a guest gets at the start of its run.
func InitialSelf(id string, s flawless.Start) flawless.Self {
	if s.Origin != nil {
		id = s.Origin.Run
	}
	return flawless.Self{Run: id, URL: s.URL}
}

// Cut applies the truncation of a log. Everything but the cost of the removed turns is in this record.
func (s *State) Cut(c *flawless.Cut) { s.cost = c.Cost }

// ForgetCalls removes all open calls. If the log of an ended run was truncated, nobody knows which of its calls were
// answered in the part that was removed.
func (s *State) ForgetCalls() {
	for _, c := range s.OpenCalls() {
		s.open.remove(s.open.edit(c.N))
	}
	s.open.reindex(&s.mail)
}

// Call returns an open call, or nil.
func (s *State) Call(n int) *OpenCall { return s.open.all[n] }

// Errand returns an open call that the engine carries out itself, or nil.
func (s *State) Errand(n int) *OpenCall {
	if c := s.open.all[n]; c != nil && c.invalid == nil && c.kind.Errand {
		return c
	}
	return nil
}

// Errands returns the numbers of the errands that wait for no decision, in the order in which they were made. An empty
// kind selects all kinds.
func (s *State) Errands(kind string) (ns []int) {
	for _, c := range s.open.list(errands) {
		if kind == "" || c.Kind == kind {
			ns = append(ns, c.N)
		}
	}
	return ns
}

// WaitsForPermit reports whether the next attempt at a call waits for a rate-limit permit.
func (s *State) WaitsForPermit(n int) bool {
	c := s.open.all[n]
	return c != nil && c.awaitsPermit
}

// AttemptsWaitingForPermits returns the attempts that wait for a rate-limit permit, in the order of their calls.
func (s *State) AttemptsWaitingForPermits() (out []Attempt) {
	for _, c := range s.OpenCalls() {
		if c.awaitsPermit {
			out = append(out, Attempt{c.N, c.attempt + 1})
		}
	}
	return out
}

// WaitsForOthers reports whether a run that has begun can do nothing until another run answers one of its calls or lets
// it begin, and returns these calls.
func (s *State) WaitsForOthers() (calls []*OpenCall, waits bool) {
	if s.status != "" || s.paused != nil || len(s.ready) > 0 || s.wake != 0 ||
		s.cancelDeadline() != 0 || s.cancel == nil && s.start.Deadline != 0 || s.open.count[external] > 0 {
		return nil, false
	}
	return s.open.list(errands), true
}

// ChangesState reports whether an open call writes or unlocks the shared state that the run locked with the call lock.
func (s *State) ChangesState(lock int) bool {
	for _, c := range s.open.all {
		if op, err := effect.ParseState(c.Call); c.Kind == effect.State && err == nil && op.Lock == lock {
			return true
		}
	}
	return false
}
