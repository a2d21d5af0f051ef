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

// State is what the log of one run amounts to. It decides and does nothing: step takes in an entry
// and says what to perform once that entry is durable, the other methods say which entries come
// next. It does no I/O and reads no clock, so that a test can drive it through every interleaving.
type State struct {
	id    string
	kinds map[string]*effect.Kind

	start     flawless.Start
	turns     int   // turns taken
	guestTime int64 // of the last turn, the guest's clock
	at        int64 // of the newest entry
	wake      int64 // next timer of the guest, 0 is none
	callsMade int   // calls made
	cost      uint64

	open        openCalls         // without an answer
	withdrawals []withdrawal      // of these, those to be answered as withdrawn in the write that is being made
	ready       []flawless.Answer // arrived and not delivered, in order of arrival

	mail         mailbox        // not received yet
	messages     int            // that came
	senders      map[string]int // by run: its newest call that sent a message
	messageKeys  messageKeys
	keyHistories map[string]keyHistory // of calls that have ended, by what effect.Policy.Known returns

	paused    *flawless.Pause
	held      *flawless.Pause // on top of it: the run begins no call either
	cancel    *flawless.Cancel
	self      flawless.Self   // what the guest was told it is
	formerIDs []string        // the ids that it was told before
	pastCalls int             // the last call that it made under one of them
	status    flawless.Status // an end, or "" while the run is open
	output    []byte
	failure   *flawless.Failure
	endedAt   int64
	labels    map[string]string // replaced as a whole when one changes
	steps     []flawless.Step   // of sagas, that are taken and not undone; replaced as a whole
}

// OpenCall is a call that has no answer yet.
type OpenCall struct {
	flawless.Call
	kind    *effect.Kind
	madeAt  int64 // time of the turn that made it
	policy  effect.Policy
	invalid error  // it cannot be performed, and is to be answered with this
	keyID   string // what its server knows it by, see knownBy

	attempt int   // begun, from 1; the outcome of this one is awaited unless next is set
	nextAt  int64 // the next try begins then

	firstAt      int64             // when the first try began
	attemptAt    int64             // when the last one did
	suspectAt    int64             // when the first one did whose outcome is unknown; 0 is none, and the one under way does not count
	inconclusive bool              // every such try was answered, see keyPast
	history      keyHistory        // what the server may know from tries that are not of this call, or do not count any more
	decidedAt    int64             // when somebody said after these that there is to be another one
	lastFailure  *flawless.Attempt // the end of the last one that failed
	dueAt        int64             // the engine answers it then
	dueAnswer    flawless.Answer

	awaitsPermit bool // the next try waits for a place towards its host
	fresh        bool // the try that is awaited, or waits for its place, was begun anew by a restart or a person

	withdrawnWhy string // the code has withdrawn it, "" where it has not
	settle       bool   // and waits for the try under way
	withdrawing  bool   // it is to be answered as withdrawn

	typed     typed               // what it waits for
	receives  *effect.ReceiveHead // the messages that it waits for, nil of another kind
	inMailbox bool                // it is in the mailbox

	index indexEntry

	child string // of another run, that answers it: see flawless.Adopted

	unknownReason string // why its outcome cannot be known
	unknownAt     int64
}

// Try names one attempt at a call.
type Try struct{ Call, N int }

// NewState returns the state of a run with an empty log.
func NewState(id string, kinds map[string]*effect.Kind) *State {
	return &State{id: id, kinds: kinds, open: openCalls{all: map[int]*OpenCall{}, byKeyID: map[string][]*OpenCall{}}, mail: newMailbox(), senders: map[string]int{}, messageKeys: messageKeys{digests: map[string]string{}}}
}

// Step takes in an entry and returns the tries to perform when the entry is durable.
func (s *State) Step(e flawless.Entry) []Try {
	tries := s.step(e)
	s.open.reindex(&s.mail)
	return tries
}

// step changes open calls through edit only.
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
			// A call is in doubt where it says why, so it must say something.
			c.unknownReason, c.unknownAt, c.nextAt, c.awaitsPermit = cmp.Or(e.Unknown.Reason, "its outcome is not known"), e.At, 0, false
			c.withdrawing, c.history.ReachedAt = false, e.Unknown.Reached
			s.unmarkWithdrawn(c.N)
		}
	case e.Adopted != nil:
		if c := s.open.edit(e.Adopted.Call); c != nil {
			c.child = e.Adopted.Run
		}
	case e.Decision != nil:
		if c := s.open.edit(e.Decision.Call); c != nil {
			waits := c.unknownReason == "" && c.nextAt != 0
			c.unknownReason = ""
			switch e.Decision.Resolution {
			case flawless.Retry:
				if waits { // it is to be tried now, and may have to wait for its guest still
					c.nextAt = min(c.nextAt, e.At)
					break
				}
				c.fresh = true
				// Somebody says that it did not happen. The server may know better.
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
				h, _ := effect.ParseWithdraw(made) // it was understood just now
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

// delivered takes answers out that the guest has heard. They are the first that are ready, in this order, unless the log
// comes from elsewhere.
func (s *State) dropDelivered(calls []int) {
	n := 0
	for n < len(calls) && n < len(s.ready) && s.ready[n].Call == calls[n] {
		n++
	}
	clear(s.ready[:n]) // their bodies are not needed any more
	if s.ready = s.ready[n:]; n < len(calls) {
		heard := map[int]bool{}
		for _, call := range calls[n:] {
			heard[call] = true
		}
		s.ready = slices.DeleteFunc(s.ready, func(a flawless.Answer) bool { return heard[a.Call] })
	}
}

func (s *State) parseCall(made flawless.Call, at int64) *OpenCall {
	c := &OpenCall{Call: made, kind: s.kinds[made.Kind], madeAt: at, firstAt: at, attemptAt: at, attempt: 1}
	if c.kind == nil {
		c.invalid = fmt.Errorf("there is no kind of call %q", made.Kind)
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
		h, _ := effect.ParseReceive(made) // it was understood just now
		c.receives = &h
	}
	return c
}

// end closes the run. Timers of an ended run are void. Its errands are carried on, and so are performed
// calls whose try is under way; those that may not begin any more are withdrawn. Calls behind number
// before are of the turn that ends the run.
func (s *State) end(status flawless.Status, output []byte, failure *flawless.Failure, before int) {
	s.status, s.output, s.failure, s.endedAt = status, output, failure, s.at
	s.wake, s.ready, s.paused = 0, nil, nil // messages that were not received are told of still
	for _, c := range s.OpenCalls() {
		switch s.open.edit(c.N); {
		case c.invalid != nil || c.kind.Perform == nil && !c.kind.Errand:
			s.open.remove(c)
			s.unmarkWithdrawn(c.N) // where the code has withdrawn it in the same turn: nobody is there to hear of it
		case c.kind.Perform != nil && !s.mayBegin(c, before):
			s.markWithdrawn(c, withdrawnUnbegun(c, before, "the run "+endedText(status)))
		}
	}
}

// Consequences returns the entries that belong to the same write as the one just taken in: answers
// to calls that were withdrawn, to those that cannot be performed, to those that wait for a
// cancellation, and messages to those that receive them.
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
		h, _ := effect.ParseDoubt(c.Call) // it was understood before
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

// about is the call that a consequence is about.
func callOf(e flawless.Entry) int {
	if e.Unknown != nil {
		return e.Unknown.Call
	}
	return e.Arrival.Call
}

// ArrivalEntry returns the entry of an answer with the stages of its exchange. note is for people.
func (s *State) ArrivalEntry(a flawless.Answer, stages []flawless.Stage, note string) flawless.Entry {
	return flawless.Entry{At: s.at, Arrival: &flawless.Arrival{Answer: a, Stages: stages, Note: note}}
}

// OpenCalls returns the calls without an answer in the order they were made.
func (s *State) OpenCalls() []*OpenCall {
	return slices.SortedFunc(maps.Values(s.open.all), byNumber)
}

func byNumber(a, b *OpenCall) int { return cmp.Compare(a.N, b.N) }

// leaves returns a failure that ends the run now, with the steps of sagas that it leaves behind.
func (s *State) withOpenSteps(f flawless.Failure) flawless.Failure { return f.Leaving(s.steps) }

// Who names a person who gave no name.
func Who(w string) string { return cmp.Or(w, "somebody") }

// FirstSelf is what a guest is told at the start of its run.
func FirstSelf(id string, s flawless.Start) flawless.Self {
	if s.Origin != nil {
		id = s.Origin.Run
	}
	return flawless.Self{Run: id, URL: s.URL}
}

// Cut takes in that the turns before a place of the log were removed, but for what the record at hand has.
func (s *State) Cut(c *flawless.Cut) { s.cost = c.Cost }

// ForgetCalls drops all open calls: of an ended run whose log was cut it is not known which of them were answered in
// what was removed.
func (s *State) ForgetCalls() {
	for _, c := range s.OpenCalls() {
		s.open.remove(s.open.edit(c.N))
	}
	s.open.reindex(&s.mail)
}

// Call returns an open call, nil where there is none of that number.
func (s *State) Call(n int) *OpenCall { return s.open.all[n] }

// Errand returns an open call that the engine carries out within itself, nil where there is none of that number.
func (s *State) Errand(n int) *OpenCall {
	if c := s.open.all[n]; c != nil && c.invalid == nil && c.kind.Errand {
		return c
	}
	return nil
}

// Errands returns the numbers of the errands that wait for nobody's decision, of one kind or of all, in the order in
// which they were made.
func (s *State) Errands(kind string) (ns []int) {
	for _, c := range s.open.list(errands) {
		if kind == "" || c.Kind == kind {
			ns = append(ns, c.N)
		}
	}
	return ns
}

// WaitsForPermit tells whether the next try of a call waits for a permit towards its host.
func (s *State) WaitsForPermit(n int) bool {
	c := s.open.all[n]
	return c != nil && c.awaitsPermit
}

// TriesWaitingForPermits returns the tries that do, in the order in which their calls were made.
func (s *State) TriesWaitingForPermits() (out []Try) {
	for _, c := range s.OpenCalls() {
		if c.awaitsPermit {
			out = append(out, Try{c.N, c.attempt + 1})
		}
	}
	return out
}

// WaitsForOthers returns the open calls of a run that has begun, where it can do nothing until another run
// answers one of them, or lets it begin.
func (s *State) WaitsForOthers() (calls []*OpenCall, waits bool) {
	if s.status != "" || s.paused != nil || len(s.ready) > 0 || s.wake != 0 ||
		s.cancelDeadline() != 0 || s.cancel == nil && s.start.Deadline != 0 || s.open.count[external] > 0 {
		return nil, false
	}
	return s.open.list(errands), true
}

// ChangesState tells whether an open call changes, or gives up, a shared state that call lock of the run has locked.
func (s *State) ChangesState(lock int) bool {
	for _, c := range s.open.all {
		if op, err := effect.ParseState(c.Call); c.Kind == effect.State && err == nil && op.Lock == lock {
			return true
		}
	}
	return false
}

// IsBehind tells whether the guest has not heard yet of something that is due by now: of an answer, or of a
// timer of its own. It may want to withdraw a call because of it, so until then no try begins. After downtime,
// or while the run is paused, a retry and the deadline behind it may both be overdue: a try that began between
// them would be given the time from now on, which is over.
func (s *State) IsBehind(now int64) bool {
	return s.status == "" && (len(s.ready) > 0 || s.wake != 0 && s.wake <= now)
}

// Fire returns the entries for everything whose time has come, in order of time. What ends or cancels the run,
// and every answer, comes before a try that begins: those begin when nothing else is due any more and the guest
// has heard of all that was.
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
			break // all that is due later is void
		}
	}
	return out
}

// Decide returns the entries of a person's word on a call, or why it cannot be taken.
func (s *State) Decide(d flawless.Decision, now int64) ([]flawless.Entry, error) {
	c := s.open.all[d.Call]
	if c == nil || c.unknownReason == "" {
		return nil, fmt.Errorf("resolving call %d of run %s: its outcome is not in doubt: %w", d.Call, s.id, flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.kind.Perform != nil && s.status != "" && s.status != flawless.Completed {
		return nil, fmt.Errorf("resolving call %d of run %s with retry: the run %s and begins nothing any more; resolve it with response, error or fail: %w", d.Call, s.id, endedText(s.status), flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.Kind == effect.Send {
		for _, o := range s.OpenCalls() { // the receiver takes a message that comes behind a later one for a repeated one
			if o.N < c.N && o.Kind == effect.Send && o.unknownReason != "" {
				return nil, fmt.Errorf("resolving call %d of run %s with retry: call %d sent a message before it, resolve that first: %w", d.Call, s.id, o.N, flawless.Conflict)
			}
		}
	}
	at := max(now, s.at)
	out := []flawless.Entry{{At: at, Decision: &d}}
	switch d.Resolution {
	case flawless.Retry:
		if c.Kind == effect.Doubt {
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.RetryAnswer(d.Call), Note: "to be tried again, says " + Who(d.Who)}})
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
		return nil, fmt.Errorf("resolving call %d of run %s: %q is none of retry, response, error, fail: %w", d.Call, s.id, d.Resolution, flawless.Invalid)
	}
	return out, nil
}

// WantsTurn tells whether the guest has something to compute.
func (s *State) WantsTurn(now int64) bool {
	if s.status != "" || s.paused != nil || s.held != nil || s.isUnresolved() {
		return false
	}
	return s.turns == 0 || len(s.ready) > 0 || s.wake != 0 && s.wake <= now
}

func (s *State) isUnresolved() bool { return s.open.count[unresolved] > 0 }

// IsStuck tells whether nothing can ever wake the guest after this turn, which is not yet taken in. A
// note has no answer, so it wakes nobody, unless it is a bad one.
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

// Status is the state as words have it; running is known only to who runs it.
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

// HasBegun tells whether the run has taken a turn of its own: those of the past that a fork shares are another
// run's, and it queues for its place as every run does.
func (s *State) HasBegun() bool {
	return s.turns > 0 && (s.start.Origin == nil || s.turns > s.start.Origin.Turn)
}

// Active tells whether an owner must look at the run after a restart, whatever the time.
func (s *State) Active() bool {
	if s.status == "" && (s.turns == 0 || len(s.ready) > 0) {
		return true
	}
	return s.open.count[owned] > 0
}

// NextWake is the moment at which something fires, 0 is never.
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

// Account is the run as it is told to people.
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

// Outcome returns how the run ended, "" while it is open.
func (s *State) Outcome() flawless.Status { return s.status }

// Start returns how the run began. Its digest is that of the code which the run has now.
func (s *State) Start() flawless.Start { return s.start }

// Turns returns how many turns the run has taken.
func (s *State) Turns() int { return s.turns }

// Cost returns what they have cost, in units.
func (s *State) Cost() uint64 { return s.cost }

// At returns the time of the newest entry, in Unix nanoseconds.
func (s *State) At() int64 { return s.at }

// Wake returns when the next timer of the guest is due, 0 where it has none.
func (s *State) Wake() int64 { return s.wake }

// Ready returns the answers that the guest has not heard, in the order in which they came. The caller must not
// change them.
func (s *State) Ready() []flawless.Answer { return s.ready }

// Unread returns the messages that the run has not received, oldest first.
func (s *State) Unread() []flawless.Message { return s.mail.list() }

// CancelRequest returns what the run was told when it was asked to give up, nil where it was not.
func (s *State) CancelRequest() *flawless.Cancel { return s.cancel }

// Held returns why the run is held back, nil where it is not.
func (s *State) Held() *flawless.Pause { return s.held }

// Paused returns why the run is paused, nil where it is not.
func (s *State) Paused() *flawless.Pause { return s.paused }

// Self returns what the guest was told it is.
func (s *State) Self() flawless.Self { return s.self }

// FormerIDs returns the ids that the guest was told before, of the runs whose past this one shares.
func (s *State) FormerIDs() []string { return s.formerIDs }

// Labels returns the labels of the run. The caller must not change them.
func (s *State) Labels() map[string]string { return s.labels }

// OpenSteps returns the steps of sagas that were taken and not undone. The caller must not change them.
func (s *State) OpenSteps() []flawless.Step { return s.steps }

// Effect returns the kind of the call, nil where there is no such kind.
func (c *OpenCall) Effect() *effect.Kind { return c.kind }

// Bad returns why the call cannot be carried out, nil where it can.
func (c *OpenCall) Bad() error { return c.invalid }

// MadeAt returns the time of the turn that made the call, in Unix nanoseconds.
func (c *OpenCall) MadeAt() int64 { return c.madeAt }

// Policy returns how the call is to be carried out.
func (c *OpenCall) Policy() effect.Policy { return c.policy }

// Tries returns how many tries have begun.
func (c *OpenCall) Tries() int { return c.attempt }

// NextTry returns when the next try begins, 0 where it is not waited for.
func (c *OpenCall) NextTry() int64 { return c.nextAt }

// Waits tells whether the next try waits for a permit towards its host.
func (c *OpenCall) Waits() bool { return c.awaitsPermit }

// Child returns the run of another one that answers the call, "" where there is none.
func (c *OpenCall) Child() string { return c.child }

// Doubt returns why nobody can know the outcome of the call, "" where it can be known.
func (c *OpenCall) UnknownReason() string { return c.unknownReason }

// PastCalls returns the number up to which calls were made by the run whose past this one shares, 0 where it shares none.
func (s *State) PastCalls() int { return s.pastCalls }
