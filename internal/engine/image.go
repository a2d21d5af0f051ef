package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
)

// An image is a run after some records of its log: its state and its frozen guest. A run is made
// again from its image and the records behind it. An image that is missing or damaged costs a replay from
// the start and nothing else, unless the log was cut: then the image is all there is. So images of every
// format stay readable, and testdata/images has one of each.

// stateFormat is the number of the format of a state in an image. A change of the state or of what
// step does with an entry gets a new one, and restore goes on reading those before.
const stateFormat = 4

// snapshot is a state as it is kept.
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

	Mail     []messageSnapshot  `json:",omitempty"`
	Messages int                `json:",omitempty"`
	Heard    map[string]int     `json:",omitempty"`
	Keys     map[string]string  `json:",omitempty"`
	Told     map[string]keyPast `json:",omitempty"`
	Labels   map[string]string  `json:",omitempty"`
	Steps    []flawless.Step    `json:",omitempty"`
	Known    *flawless.Self     `json:",omitempty"` // nil is as at the start
	Was      []string           `json:",omitempty"`
}

// messageSnapshot keeps the body of a message as bytes, whatever they are.
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

	// Of an image without them, the time at which the call was made stands in for the first two.
	Begun  int64             `json:",omitempty"`
	TryAt  int64             `json:",omitempty"`
	Sent   int64             `json:",omitempty"`
	Failed *flawless.Attempt `json:",omitempty"`

	Mild   bool    `json:",omitempty"`
	Before keyPast `json:",omitzero"`
	Word   int64   `json:",omitempty"`
}

type answerSnapshot struct {
	Call int
	Head []byte `json:",omitempty"`
	Body []byte `json:",omitempty"`
}

// snapshot returns the state of an open run as bytes.
func (s *state) snapshot() []byte {
	out := snapshot{Format: stateFormat, Start: s.start, Turn: s.turn, Time: s.time, At: s.at, Wake: s.wake, Made: s.made, Cost: s.cost, Cancel: s.cancel,
		Paused: s.paused, Held: s.held, Messages: s.messages, Heard: s.heard, Keys: s.keys, Told: s.told, Labels: s.labels, Steps: s.steps}
	if len(s.was) > 0 {
		out.Known, out.Was = &s.known, s.was
	}
	for _, m := range s.mail {
		kept := messageSnapshot{m, m.Body}
		kept.Body = nil
		out.Mail = append(out.Mail, kept)
	}
	for _, c := range s.open() {
		out.Calls = append(out.Calls, callSnapshot{c.N, c.Kind, c.Head, c.Body, c.madeAt, c.try, c.next, c.doubt, c.since, c.waits, c.child, c.anew, c.why, c.settle, c.begun, c.tryAt, c.sent, c.failed, c.mild, c.before, c.word})
	}
	for _, a := range s.ready {
		out.Ready = append(out.Ready, answerSnapshot{a.Call, a.Head, a.Body})
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("engine: a state that cannot be written: " + err.Error())
	}
	return b
}

// restore takes in what snapshot has returned, on a new state.
func (s *state) restore(b []byte) error {
	var in snapshot
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("the state in an image cannot be read: %v: %w", err, flawless.Damaged)
	}
	switch { // so far each format has only added members, which are empty in those before
	case in.Format > stateFormat:
		return fmt.Errorf("a newer version of the server has made the image, its state has format %d, this one knows up to %d: %w", in.Format, stateFormat, flawless.Damaged)
	case in.Format < 1:
		return fmt.Errorf("the state in an image has format %d, the first one is 1: %w", in.Format, flawless.Damaged)
	}
	s.start, s.turn, s.time, s.at, s.wake, s.made, s.cost, s.cancel = in.Start, in.Turn, in.Time, in.At, in.Wake, in.Made, in.Cost, in.Cancel
	s.paused, s.held, s.messages, s.labels, s.steps = in.Paused, in.Held, in.Messages, in.Labels, in.Steps
	if s.known = firstSelf(s.id, s.start); in.Known != nil {
		s.known, s.was = *in.Known, in.Was
	}
	maps.Copy(s.heard, in.Heard)
	maps.Copy(s.keys, in.Keys)
	s.told = in.Told
	for _, m := range in.Mail {
		m.Body = m.Raw
		s.mail = append(s.mail, m.Message)
	}
	for _, k := range in.Calls {
		c := s.understand(flawless.Call{N: k.N, Kind: k.Kind, Head: k.Head, Body: k.Body}, k.Made)
		c.try, c.next, c.doubt, c.since, c.waits, c.child = k.Try, k.Next, k.Doubt, k.Since, k.Waits, k.Child
		c.anew, c.why, c.settle = k.Anew, k.Why, k.Settle
		c.begun, c.tryAt, c.sent, c.failed = cmp.Or(k.Begun, c.begun), cmp.Or(k.TryAt, c.tryAt), k.Sent, k.Failed
		c.mild, c.before, c.word = k.Mild, k.Before, k.Word
		s.calls[k.N] = c
	}
	for _, a := range in.Ready {
		s.ready = append(s.ready, flawless.Answer{Call: a.Call, Head: a.Head, Body: a.Body})
	}
	return nil
}

// past is what is read of a run: its state, from the image and the log behind it.
type past struct {
	head  store.Head
	s     *state
	seq   uint64           // of the next record
	image store.Image      // Seq is 0 where there is none
	turn  int              // turns in it
	cost  uint64           // of these
	tail  []flawless.Entry // of the last record behind the image, where it tells of late tries only

	// lost is set where a run that has ended was read without the image that its cut log needs. Which of
	// its calls are open is not known then, and none is.
	lost *flawless.Cut
}

// read reads a run from the store.
func (e *Engine) read(ctx context.Context, id string) (past, error) {
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return past{}, err
	}
	p, err := e.readFrom(ctx, head, !head.Run.Status.Ended())
	if err == nil && p.lost != nil {
		p, err = e.readFrom(ctx, head, true)
	}
	if err == nil && head.Run.Status.Ended() && p.s.status == "" {
		return p, fmt.Errorf("run %s was %s while its log could not be read, which does not have its end: %w", id, head.Run.Status, flawless.Damaged)
	}
	return p, err
}

// readFrom reads a run from its image, where that is asked for and of use, and the log behind it.
func (e *Engine) readFrom(ctx context.Context, head store.Head, image bool) (past, error) {
	id := head.Run.ID
	p := past{head: head, s: newState(id, e.kinds)}
	var unusable error // the image
	if image {
		var err error
		p.image, err = e.store.Image(ctx, id)
		if err == nil {
			err = p.s.restore(p.image.State)
		}
		if err != nil {
			if !errors.Is(err, flawless.NotFound) {
				e.fallback(id, err)
			}
			p.image, p.s, unusable = store.Image{}, newState(id, e.kinds), err
		}
	}
	p.seq = p.image.Seq
	p.turn, p.cost = p.s.turn, p.s.cost
	for rec, err := range e.store.Log(ctx, id, p.seq) {
		if err != nil {
			return p, err
		}
		if rec.Seq != p.seq {
			return p, fmt.Errorf("the log of run %s has record %d where %d should be: %w", id, rec.Seq, p.seq, flawless.Damaged)
		}
		for _, entry := range rec.Entries {
			p.s.step(entry)
		}
		if p.tail = nil; late(rec.Entries) {
			p.tail = rec.Entries
		}
		p.seq++
		if c := rec.Cut; c != nil {
			if !head.Run.Status.Ended() {
				return p, cutError(id, c, unusable, flawless.Damaged)
			}
			p.lost, p.seq = c, c.Next
			p.s.cut(c)
		}
	}
	if p.seq == 0 {
		return p, fmt.Errorf("the log of run %s is empty: %w", id, flawless.Damaged)
	}
	if p.lost != nil {
		p.s.forgetCalls()
	}
	return p, nil
}

// fallback takes note of an image that is of no use.
func (e *Engine) fallback(id string, why error) {
	e.counts.fallbacks.Add(1)
	e.log.Info("an image is of no use, the run is made again from its log", "run", id, "error", why)
}

// Freezing says when images are made. A run is worth one when making its guest again would take
// longer than reading the image does.
type Freezing struct {
	// Units is how much computation since the last image makes a run that leaves memory worth one;
	// 0 is 8 million, some milliseconds. Less is replayed.
	Units uint64
	// Turns and LongUnits do the same for a run that stays in memory; 0 is 1,000 and 100 million.
	Turns     int
	LongUnits uint64
	Never     bool
}

func (f *Freezing) defaults() {
	f.Units, f.Turns, f.LongUnits = cmp.Or(f.Units, 8<<20), cmp.Or(f.Turns, 250), cmp.Or(f.LongUnits, 100<<20)
}

// worth tells whether an image is to be made of a run that leaves memory, or goes on.
func (f *Freezing) worth(units uint64, turns int, leaves bool) bool {
	switch {
	case f.Never || turns == 0:
		return false
	case leaves:
		return units >= f.Units
	}
	return units >= f.LongUnits || turns >= f.Turns
}

// wantsImage tells whether an image of the run is to be made. The caller holds mu.
func (r *run) wantsImage(leaves bool) bool {
	return r.inst != nil && r.s.status == "" && r.problem == "" && r.failed == nil &&
		r.e.freezing.worth(r.s.cost-r.imageCost, r.s.turn-r.imageTurn, leaves)
}

// freeze makes an image of the run, unless something waits to be written: what it takes must be
// durable. The driver calls it. An image that cannot be made or written is not missed.
func (r *run) freeze() {
	r.mu.Lock()
	for r.writing {
		r.idle.Wait()
	}
	if r.inst == nil || r.s.status != "" || len(r.outbox) > 0 || r.failed != nil {
		r.mu.Unlock()
		return
	}
	m := store.Image{Seq: r.seq, State: r.s.snapshot()}
	turn, cost := r.s.turn, r.s.cost
	r.sealed = r.seq
	r.writing = true // an end that is written meanwhile would not see that the log is cut
	imaged := r.imaged
	r.mu.Unlock()
	do := r.inst.Freeze
	if r.keepTurns() > 0 || imaged && r.e.isCut(r.id) {
		do = r.inst.FreezeWhole // the image must serve servers to come, which may make another base image
	}
	var err error
	if m.Guest, err = do(); err == nil {
		err = r.keep(m, turn)
	}
	r.mu.Lock()
	if err == nil {
		r.marks = append(r.marks, mark{m.Seq, turn, cost})
	}
	r.imageTurn, r.imageCost = turn, cost // also where it failed: it is tried again later, not at once
	r.imaged = r.imaged || err == nil
	r.writing = false
	r.idle.Broadcast()
	r.mu.Unlock()
	switch {
	case err == nil:
		r.e.counts.frozen.Add(1)
	case !errors.Is(err, flawless.Refused): // some guests cannot be frozen
		r.e.log.Warn("an image of a run could not be kept", "run", r.id, "error", err)
	}
}

// thaw makes the guest from the run's image and the turns behind it. It returns nil without an error
// where there is no image, or none that is of use.
func (r *run) thaw(ctx context.Context, m *guest.Module, s guest.Start) (*guest.Instance, error) {
	if !r.imaged {
		return nil, nil
	}
	image, err := r.e.store.Image(ctx, r.id)
	before := newState(r.id, r.e.kinds)
	if err == nil {
		err = before.restore(image.State)
	}
	var inst *guest.Instance
	if err == nil {
		s.Run, s.URL, s.Steps = before.known.Run, before.known.URL, before.steps
		inst, err = m.Thaw(ctx, s, image.Guest)
	}
	if ctx.Err() != nil {
		if inst != nil {
			inst.Release()
		}
		return nil, ctx.Err()
	}
	if err != nil {
		r.e.fallback(r.id, err)
		for rec, logged := range r.e.store.Log(ctx, r.id, 0) {
			if logged == nil && rec.Cut != nil {
				return nil, cutError(r.id, rec.Cut, err, flawless.Refused)
			}
			break
		}
		return nil, nil
	}
	arrived := map[int]flawless.Answer{}
	for _, a := range before.ready {
		arrived[a.Call] = a
	}
	if err := replay(ctx, inst, r.id, r.e.store.Log(ctx, r.id, image.Seq), arrived, nil); err != nil {
		inst.Release()
		return nil, err
	}
	r.e.counts.thawed.Add(1)
	return inst, nil
}
