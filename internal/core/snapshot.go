package core

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/flawless-engine/flawless"
)

// An image is a run after some records of its log: its state and its frozen guest. A run is restored from its image and
// the records after it. A missing or damaged image costs a replay from the start and nothing else, unless the log was
// truncated: then the image is all there is. So images of every format stay readable, and testdata/images of the engine
// has one of each.

// StateFormat is the format number of a state in an image. A change of the state, or of what Step does with an entry,
// gets a new number, and Restore keeps reading the older ones.
const StateFormat = 7

// snapshot is a state as it is stored.
type snapshot struct {
	Format int
	Start  flawless.Start
	Turn   int
	Time   int64
	At     int64
	Wake   int64
	Made   int
	Cost   uint64
	Calls  []callSnapshot   `json:",omitempty"`
	Ready  []answerSnapshot `json:",omitempty"`
	Cancel *flawless.Cancel `json:",omitempty"`
	Paused *flawless.Pause  `json:",omitempty"`
	Held   *flawless.Pause  `json:",omitempty"`

	Mail     []messageSnapshot     `json:",omitempty"`
	Messages int                   `json:",omitempty"`
	Heard    map[string]int        `json:",omitempty"`
	Keyed    []keySnapshot         `json:",omitempty"`
	Keys     map[string]string     `json:",omitempty"` // instead of Keyed, up to format 4
	Told     map[string]keyHistory `json:",omitempty"`
	Labels   map[string]string     `json:",omitempty"`
	Steps    []flawless.Step       `json:",omitempty"`
	Known    *flawless.Self        `json:",omitempty"` // nil if it is as at the start
	Was      []string              `json:",omitempty"`
	Foretold map[int]foretold      `json:",omitempty"` // from format 6 on
	Requests []string              `json:",omitempty"` // from format 7 on
}

// keySnapshot is the key of an accepted message and the digest of the message. The oldest comes first.
type keySnapshot struct {
	messageKey
	Digest string
}

// messageSnapshot stores the body of a message as bytes, since it need not be valid JSON.
type messageSnapshot struct {
	flawless.Message
	Raw []byte
}

type callSnapshot struct {
	N     int
	Kind  string
	Head  []byte `json:",omitempty"`
	Body  []byte `json:",omitempty"`
	Made  int64
	Try   int
	Next  int64  `json:",omitempty"`
	Doubt string `json:",omitempty"`
	Since int64  `json:",omitempty"`
	Waits bool   `json:",omitempty"`
	Child string `json:",omitempty"`

	Anew   bool   `json:",omitempty"`
	Why    string `json:",omitempty"`
	Settle bool   `json:",omitempty"`

	// In an image without these, the time at which the call was made stands in for the first two.
	Begun  int64             `json:",omitempty"`
	TryAt  int64             `json:",omitempty"`
	Sent   int64             `json:",omitempty"`
	Failed *flawless.Attempt `json:",omitempty"`

	Mild   bool       `json:",omitempty"`
	Before keyHistory `json:",omitzero"`
	Word   int64      `json:",omitempty"`
	Busy   bool       `json:",omitempty"`
	Title  string     `json:",omitempty"` // of a lost call; from format 6 on
	Unseen int        `json:",omitempty"` // from format 7 on
}

type answerSnapshot struct {
	Call int
	Head []byte `json:",omitempty"`
	Body []byte `json:",omitempty"`
}

// Snapshot encodes the state of an open run.
func (s *State) Snapshot() []byte {
	out := snapshot{Format: StateFormat, Start: s.start, Turn: s.turns, Time: s.guestTime, At: s.at, Wake: s.wake, Made: s.callsMade, Cost: s.cost, Cancel: s.cancel,
		Paused: s.paused, Held: s.held, Messages: s.messages, Heard: s.senders, Told: s.keyHistories, Labels: s.labels, Steps: s.steps, Foretold: s.foretold, Requests: s.requests}
	if len(s.formerIDs) > 0 {
		out.Known, out.Was = &s.self, s.formerIDs
	}
	for _, k := range s.messageKeys.order {
		out.Keyed = append(out.Keyed, keySnapshot{k, s.messageKeys.digests[k.Key]})
	}
	for _, m := range s.mail.list() {
		kept := messageSnapshot{m, m.Body}
		kept.Body = nil
		out.Mail = append(out.Mail, kept)
	}
	for _, c := range s.OpenCalls() {
		out.Calls = append(out.Calls, callSnapshot{c.N, c.Kind, c.Head, c.Body, c.madeAt, c.attempt, c.nextAt, c.unknownReason, c.unknownAt, c.awaitsPermit, c.child, c.fresh, c.withdrawnWhy, c.settle, c.firstAt, c.attemptAt, c.suspectAt, c.lastFailure, c.inconclusive, c.history, c.decidedAt, c.inProgress, "", c.unseen})
		if c.kind == lostKind {
			out.Calls[len(out.Calls)-1].Title = c.policy.Title
		}
	}
	for _, a := range s.ready {
		out.Ready = append(out.Ready, answerSnapshot{a.Call, a.Head, a.Body})
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("core: encoding a state: " + err.Error())
	}
	return b
}

// Restore decodes what Snapshot has returned into a new state.
func (s *State) Restore(b []byte) error {
	var in snapshot
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("reading the state in an image: %v: %w", err, flawless.Damaged)
	}
	switch { // older formats differ in members that are then empty
	case in.Format > StateFormat:
		return fmt.Errorf("the image was made by a newer version of the server: its state has format %d, and this version reads formats up to %d: %w", in.Format, StateFormat, flawless.Damaged)
	case in.Format < 1:
		return fmt.Errorf("the state in an image has format %d, but formats start at 1: %w", in.Format, flawless.Damaged)
	}
	s.start, s.turns, s.guestTime, s.at, s.wake, s.callsMade, s.cost, s.cancel = in.Start, in.Turn, in.Time, in.At, in.Wake, in.Made, in.Cost, in.Cancel
	s.paused, s.held, s.messages, s.labels, s.steps = in.Paused, in.Held, in.Messages, in.Labels, in.Steps
	if s.self = InitialSelf(s.id, s.start); in.Known != nil {
		s.self, s.formerIDs = *in.Known, in.Was
	}
	maps.Copy(s.senders, in.Heard)
	for _, k := range in.Keyed {
		s.messageKeys.add(k.Key, k.Digest, k.At)
	}
	for _, key := range slices.Sorted(maps.Keys(in.Keys)) { // when they arrived is not known any more
		s.messageKeys.add(key, in.Keys[key], s.at)
	}
	s.keyHistories, s.foretold, s.requests = in.Told, in.Foretold, in.Requests
	for _, m := range in.Mail {
		m.Body = m.Raw
		s.mail.add(m.Message)
	}
	for _, k := range in.Calls {
		c := s.parseCall(flawless.Call{N: k.N, Kind: k.Kind, Head: k.Head, Body: k.Body}, k.Made)
		if k.Kind == lostKind.Name {
			c = newLostCall(k.N, k.Title, k.Made)
		}
		c.attempt, c.nextAt, c.unknownReason, c.unknownAt, c.awaitsPermit, c.child = k.Try, k.Next, k.Doubt, k.Since, k.Waits, k.Child
		c.fresh, c.withdrawnWhy, c.settle = k.Anew, k.Why, k.Settle
		c.firstAt, c.attemptAt, c.suspectAt, c.lastFailure = cmp.Or(k.Begun, c.firstAt), cmp.Or(k.TryAt, c.attemptAt), k.Sent, k.Failed
		c.inconclusive, c.history, c.decidedAt, c.inProgress, c.unseen = k.Mild, k.Before, k.Word, k.Busy, k.Unseen
		s.open.add(c)
	}
	s.open.reindex(&s.mail)
	for _, a := range in.Ready {
		s.ready = append(s.ready, flawless.Answer{Call: a.Call, Head: a.Head, Body: a.Body})
	}
	return nil
}
