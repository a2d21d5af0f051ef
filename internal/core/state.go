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
	messageKeys  messageKeys
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

	typed     typed             // the schema of what it waits for
	receives  *effect.ReceiveHead // the messages it waits for, nil for other kinds
	inMailbox bool

	index indexEntry

	child string // a run that answers it, see flawless.Adopted

	unknownReason string // why its outcome is unknown, "" if it is not
	unknownAt     int64
}

// Try identifies one attempt at a call.
type Try struct{ Call, N int }

// NewState returns the state of a run with an empty log.
func NewState(id string, kinds map[string]*effect.Kind) *State {
	return &State{id: id, kinds: kinds, open: openCalls{all: map[int]*OpenCall{}, byKeyID: map[string][]*OpenCall{}}, mail: newMailbox(), senders: map[string]int{}, messageKeys: messageKeys{digests: map[string]string{}}}
}

// Step applies an entry and returns the attempts to perform once the entry is durable.
func (s *State) Step(e flawless.Entry) []Try {
	tries := s.step(e)
	s.open.reindex(&s.mail)
	return tries
}

// step changes open calls only through edit, so that Step can index them again.
func (s *State) step(e flawless.Entry) []Try {
	s.at = max(s.at, e.At)
	switch {
	case e.Start != nil:
		s.start = *e.Start
		s.guestTime = e.Start.Time
		s.self = FirstSelf(s.id, s.start)
		s.labels = e.Start.Labels
	case e.Turn != nil:
		return s.stepTurn(e.Turn)
	case e.Arrival != nil:
		if c := s.open.edit(e.Arrival.Call); c != nil {
			s.rememberKey(c, e.Arrival)
			s.open.remove(c)
		}
		s.unmarkWithdrawn(e.Arrival.Call)
		s.mail.remove(e.Arrival.Message)
		if s.status == "" {
			s.ready = append(s.ready, e.Arrival.Answer)
		}
	case e.Attempt != nil:
		if c := s.open.edit(e.Attempt.Call); c != nil {
			c.stepAttempt(e.Attempt, e.At)
			if e.Attempt.Begun {
				return []Try{{c.N, c.attempt}}
			}
		}
	case e.Unknown != nil:
		if c := s.open.edit(e.Unknown.Call); c != nil {
			// A non-empty reason marks the outcome as unknown, so there must be one.
			c.unknownReason, c.unknownAt, c.nextAt, c.awaitsPermit = cmp.Or(e.Unknown.Reason, "its outcome is unknown"), e.At, 0, false
			c.withdrawing, c.history.ReachedAt = false, e.Unknown.Reached
			s.unmarkWithdrawn(c.N)
		}
	case e.Adopted != nil:
		if c := s.open.edit(e.Adopted.Call); c != nil {
			c.child = e.Adopted.Run
		}
	case e.Decision != nil:
		if c := s.open.edit(e.Decision.Call); c != nil {
			retrying := c.unknownReason == "" && c.nextAt != 0
			c.unknownReason = ""
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
					return []Try{{c.N, c.attempt}}
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
			s.held = p
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

func (s *State) stepTurn(t *flawless.Turn) (tries []Try) {
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
		if c.invalid == nil && c.kind.Perform != nil {
			tries = append(tries, Try{c.N, c.attempt})
		}
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
		tries = slices.DeleteFunc(tries, func(t Try) bool { return s.IsWithdrawing(t.Call) })
	}
	return tries
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
			s.unmarkWithdrawn(c.N) // it may have been withdrawn in this turn, and nobody is left to be told
		case c.kind.Perform != nil && !s.mayBegin(c, before):
			s.markWithdrawn(c, withdrawnUnbegun(c, before, "the run "+endedText(status)))
		}
	}
}

// Consequences returns the entries that must be in the same write as those just applied: answers to calls that were
// withdrawn, are invalid or wait for a cancellation, and messages handed to the calls that receive them.
func (s *State) Consequences() (out []flawless.Entry) {
	out = s.WithdrawnEntries()
	if s.status != "" {
		return out
	}
	withdrawn := len(out) // these come first
	for _, c := range s.open.list(invalid) {
		out = append(out, s.ArrivalEntry(effect.ErrorAnswer(c.N, "invalid", c.invalid.Error()), nil, ""))
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
func (s *State) withOpenSteps(f flawless.Failure) flawless.Failure { return f.Leaving(s.steps) }

// Who returns the name of a person, or "somebody" if there is none.
func Who(w string) string { return cmp.Or(w, "somebody") }

// FirstSelf returns the identity that a guest is told at the start of its run.
func FirstSelf(id string, s flawless.Start) flawless.Self {
	if s.Origin != nil {
		id = s.Origin.Run
	}
	return flawless.Self{Run: id, URL: s.URL}
}

// Cut applies the truncation of a log. Everything but the cost of the removed turns is in the record at hand.
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

// TriesWaitingForPermits returns the attempts that wait for a rate-limit permit, in the order of their calls.
func (s *State) TriesWaitingForPermits() (out []Try) {
	for _, c := range s.OpenCalls() {
		if c.awaitsPermit {
			out = append(out, Try{c.N, c.attempt + 1})
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

// IsBehind reports whether something is due that the guest has not seen yet: an answer, or one of its own timers. The
// guest may react by withdrawing a call, so no attempt begins until it has caught up. After downtime or a pause, a
// retry and a later deadline may both be overdue. An attempt that began between them would get a full time-out although
// the deadline has passed.
func (s *State) IsBehind(now int64) bool {
	return s.status == "" && (len(s.ready) > 0 || s.wake != 0 && s.wake <= now)
}

// Fire returns the entries for everything that is due, in order of time. Answers, cancellations and the end of the run
// come before attempts: an attempt begins only if nothing else is due and the guest has seen everything that was.
func (s *State) Fire(now int64) (out []flawless.Entry) {
	if soonest := s.NextWake(); soonest == 0 || soonest > now {
		return nil
	}
	type firing struct {
		due int64
		e   flawless.Entry
	}
	var all []firing
	at := max(now, s.at)
	for _, c := range s.open.upTo(due, now) {
		all = append(all, firing{c.dueAt, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: c.dueAnswer}}})
	}
	if s.status == "" {
		if end := s.cancelDeadline(); end != 0 && end <= now {
			all = append(all, firing{end, flawless.Entry{At: at, End: s.graceEnd()}})
		} else if d := s.start.Deadline; d != 0 && d <= now && s.cancel == nil {
			all = append(all, firing{d, flawless.Entry{At: at, Cancel: s.deadlineCancel(at)}})
		}
	}
	if len(all) == 0 && s.held == nil && !s.IsBehind(now) {
		for _, c := range s.open.upTo(next, now) {
			all = append(all, firing{c.nextAt, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt + 1, Begun: true}}})
		}
	}
	slices.SortStableFunc(all, func(a, b firing) int { return cmp.Compare(a.due, b.due) })
	for _, f := range all[:min(len(all), MaxBatch)] {
		if out = append(out, f.e); f.e.End != nil {
			break // everything due later is void
		}
	}
	return out
}

// Decide returns the entries of a person's decision about a call whose outcome is unknown, or why it is refused.
func (s *State) Decide(d flawless.Decision, now int64) ([]flawless.Entry, error) {
	c := s.open.all[d.Call]
	if c == nil || c.unknownReason == "" {
		return nil, fmt.Errorf("resolving call %d of run %s: the outcome of the call is not unknown: %w", d.Call, s.id, flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.kind.Perform != nil && s.status != "" && s.status != flawless.Completed {
		return nil, fmt.Errorf("resolving call %d of run %s with retry: the run %s and begins no more attempts; resolve the call with response, error or fail: %w", d.Call, s.id, endedText(s.status), flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.Kind == effect.Send {
		for _, o := range s.OpenCalls() { // the receiver would take an older message for a duplicate
			if o.N < c.N && o.Kind == effect.Send && o.unknownReason != "" {
				return nil, fmt.Errorf("resolving call %d of run %s with retry: call %d sent an earlier message; resolve that call first: %w", d.Call, s.id, o.N, flawless.Conflict)
			}
		}
	}
	at := max(now, s.at)
	out := []flawless.Entry{{At: at, Decision: &d}}
	switch d.Resolution {
	case flawless.Retry:
		if c.Kind == effect.Doubt {
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.RetryAnswer(d.Call), Note: "retry decided by " + Who(d.Who)}})
		}
	case flawless.Respond:
		a, err := effect.ResponseAnswer(d.Call, d.Status, d.Body)
		if err != nil {
			return nil, fmt.Errorf("resolving call %d of run %s with a response: %w", d.Call, s.id, err)
		}
		out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: a, Note: "response given by " + Who(d.Who)}})
	case flawless.Tell:
		out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.ErrorAnswer(d.Call, "told", d.Text), Note: "error given by " + Who(d.Who)}})
	case flawless.Fail:
		if s.status == "" {
			out = append(out, flawless.Entry{At: at, End: &flawless.End{Status: flawless.Failed, Who: d.Who,
				Failure: s.withOpenSteps(flawless.Failure{Kind: "resolved", Message: fmt.Sprintf("call %d was resolved with fail by %s: %s", d.Call, Who(d.Who), cmp.Or(d.Note, "no reason given"))})}})
		}
	default:
		return nil, fmt.Errorf("resolving call %d of run %s: unknown resolution %q; use retry, response, error or fail: %w", d.Call, s.id, d.Resolution, flawless.Invalid)
	}
	return out, nil
}

// WantsTurn reports whether the guest has something to compute.
func (s *State) WantsTurn(now int64) bool {
	if s.status != "" || s.paused != nil || s.held != nil || s.isUnresolved() {
		return false
	}
	return s.turns == 0 || len(s.ready) > 0 || s.wake != 0 && s.wake <= now
}

func (s *State) isUnresolved() bool { return s.open.count[unresolved] > 0 }

// IsStuck reports whether nothing can wake the guest after this turn, which has not been applied yet. A valid note has
// no answer, so it wakes nobody.
func (s *State) IsStuck(t *flawless.Turn) bool {
	if t.Wake != 0 || len(s.ready) > len(t.Answers) {
		return false
	}
	mayWake := func(k *effect.Kind) bool { return k == nil || !k.Idle || s.cancel != nil }
	if s.open.count[waking] > 0 || s.cancel != nil && len(s.open.all) > 0 {
		return false
	}
	return !slices.ContainsFunc(t.Calls, func(c flawless.Call) bool {
		k := s.kinds[c.Kind]
		note := k != nil && k.Note && s.parseCall(c, t.Time).invalid == nil
		return !note && mayWake(k)
	})
}

// Status returns the status of the run. Whether it is running is known only to the engine.
func (s *State) Status() flawless.Status {
	switch {
	case s.status != "":
		return s.status
	case s.isUnresolved():
		return flawless.Unresolved
	case s.paused != nil || s.held != nil:
		return flawless.Paused
	case !s.HasBegun() && (s.turns == 0 || len(s.ready) > 0 || s.start.Place != nil):
		return flawless.Pending
	}
	return flawless.Waiting
}

// HasBegun reports whether the run has taken a turn of its own. The turns that a fork shares belong to another run, so
// a fork queues for admission like any other run.
func (s *State) HasBegun() bool {
	return s.turns > 0 && (s.start.Origin == nil || s.turns > s.start.Origin.Turn)
}

// Active reports whether an owner must look at the run after a restart, whatever the time.
func (s *State) Active() bool {
	if s.status == "" && (s.turns == 0 || len(s.ready) > 0) {
		return true
	}
	return s.open.count[owned] > 0
}

// NextWake returns the time at which something fires next, 0 for never.
func (s *State) NextWake() int64 {
	var w int64
	earlier := func(t int64) {
		if t != 0 && (w == 0 || t < w) {
			w = t
		}
	}
	if s.status == "" {
		if s.paused == nil && s.held == nil && !s.isUnresolved() {
			earlier(s.wake)
		}
		if s.cancel == nil {
			earlier(s.start.Deadline)
		}
		earlier(s.cancelDeadline())
	}
	earlier(s.open.first(due))
	if soonest := s.open.first(next); s.held == nil && !s.IsBehind(soonest) {
		earlier(soonest)
	}
	return w
}

// Account returns the run as people see it.
func (s *State) Account() flawless.Run {
	r := flawless.Run{ID: s.id, Module: s.start.Module, Digest: s.start.Digest, Workflow: s.start.Workflow,
		Status: s.Status(), Created: time.Unix(0, s.start.Time), Failure: s.failure,
		Turns: s.turns, Calls: s.callsMade, Cost: s.cost, Output: s.output, CancelRequested: s.cancel != nil,
		Pause: cmp.Or(s.held, s.paused), Parent: s.start.Parent, Of: s.start.Of, Mail: s.mail.count(), Labels: s.labels, Place: s.start.Place, Retrying: s.Retrying()}
	if s.start.Deadline != 0 {
		at := time.Unix(0, s.start.Deadline)
		r.Deadline = &at
	}
	if s.status != "" {
		at := time.Unix(0, s.endedAt)
		r.Ended = &at
	} else {
		r.RetryingCalls = s.open.count[retrying]
	}
	if n := s.NextWake(); n != 0 && s.status == "" {
		at := time.Unix(0, n)
		r.Wake = &at
	}
	r.Unresolved = s.open.unresolvedCalls()
	return r
}

// ID returns the id of the run.
func (s *State) ID() string { return s.id }

// Outcome returns how the run ended, or "" while it is open.
func (s *State) Outcome() flawless.Status { return s.status }

// Start returns how the run began, with the digest of the code that it has now.
func (s *State) Start() flawless.Start { return s.start }

// Turns returns the number of turns taken.
func (s *State) Turns() int { return s.turns }

// Cost returns the cost of all turns, in units.
func (s *State) Cost() uint64 { return s.cost }

// At returns the time of the newest entry, in Unix nanoseconds.
func (s *State) At() int64 { return s.at }

// Wake returns the time of the guest's next timer, 0 for none.
func (s *State) Wake() int64 { return s.wake }

// Ready returns the answers that the guest has not received, in the order in which they arrived. The caller must not
// change them.
func (s *State) Ready() []flawless.Answer { return s.ready }

// Unread returns the messages that the run has not received, oldest first.
func (s *State) Unread() []flawless.Message { return s.mail.list() }

// CancelRequest returns the request to cancel the run, or nil.
func (s *State) CancelRequest() *flawless.Cancel { return s.cancel }

// Held returns why the run is held, or nil.
func (s *State) Held() *flawless.Pause { return s.held }

// Paused returns why the run is paused, or nil.
func (s *State) Paused() *flawless.Pause { return s.paused }

// Self returns the identity that the guest was told.
func (s *State) Self() flawless.Self { return s.self }

// FormerIDs returns the ids that the guest was told earlier, those of the runs whose past it shares.
func (s *State) FormerIDs() []string { return s.formerIDs }

// Labels returns the labels of the run. The caller must not change them.
func (s *State) Labels() map[string]string { return s.labels }

// OpenSteps returns the saga steps that were taken and not undone. The caller must not change them.
func (s *State) OpenSteps() []flawless.Step { return s.steps }

// Effect returns the kind of the call, or nil if there is no such kind.
func (c *OpenCall) Effect() *effect.Kind { return c.kind }

// Bad returns why the call is invalid, or nil.
func (c *OpenCall) Bad() error { return c.invalid }

// MadeAt returns the time of the turn that made the call, in Unix nanoseconds.
func (c *OpenCall) MadeAt() int64 { return c.madeAt }

// Policy returns how the call is to be carried out.
func (c *OpenCall) Policy() effect.Policy { return c.policy }

// Tries returns the number of attempts begun.
func (c *OpenCall) Tries() int { return c.attempt }

// NextTry returns when the next attempt begins, 0 if the call does not wait for a retry.
func (c *OpenCall) NextTry() int64 { return c.nextAt }

// Waits reports whether the next attempt waits for a rate-limit permit.
func (c *OpenCall) Waits() bool { return c.awaitsPermit }

// Child returns the run that answers the call instead of a child of its own, or "".
func (c *OpenCall) Child() string { return c.child }

// UnknownReason returns why the outcome of the call is unknown, or "" if it is not.
func (c *OpenCall) UnknownReason() string { return c.unknownReason }

// PastCalls returns the number of the last call that was made by the run whose past this one shares, 0 if there is
// none.
func (s *State) PastCalls() int { return s.pastCalls }
