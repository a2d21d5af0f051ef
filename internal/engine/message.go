package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/errand"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/value"
)

// delivered is the answer to a call whose message is durable.
func delivered() flawless.Answer { return flawless.Answer{Head: []byte("{}")} }

// send delivers a message to another run, or to this one. Those to one run are delivered in order: while they are on their
// way to the same run in memory, or else one after another.
func (e *Engine) send(r *live.Run, c *core.OpenCall) error {
	m, err := message(r, *c)
	if err != nil {
		return err
	}
	to := statelock.Target{Run: e.resolveID(r, m.to)}
	deliver := e.deliverMessage(r, to.Run)
	t, err := e.receiver(e.life.Calls, to.Run, m.Message)
	if errors.Is(err, flawless.Elsewhere) {
		e.errands.Queue(r, to, c.N, deliver)
		return nil
	}
	if err != nil {
		return err
	}
	if !e.errands.Enter(r, to, c.N, t, deliver) {
		t.Release()
		return nil
	}
	if _, err := e.post(e.life.Calls, t, m.Message); err != nil {
		return e.sent(r, to, *c, err)
	}
	r.Retain()
	e.tasks.Go(func() {
		defer r.Release()
		_ = e.sent(r, to, *c, e.posted(e.life.Calls, t))
	})
	return nil
}

// sent answers a call that has delivered a message. If it is unknown whether it has, it is delivered again.
func (e *Engine) sent(r *live.Run, to statelock.Target, c core.OpenCall, err error) error {
	if errors.Is(err, flawless.Elsewhere) {
		e.errands.Queue(r, to, c.N, e.deliverMessage(r, to.Run))
		return nil
	}
	if err == nil {
		r.Answer(c.N, delivered())
	}
	e.errands.Leave(r.ID(), to, c.N)
	return err
}

// outgoing is a message, and the id that the code calls its receiver.
type outgoing struct {
	flawless.Message
	to string
}

func message(r *live.Run, c core.OpenCall) (outgoing, error) {
	h, err := effect.ParseSend(c.Call)
	return outgoing{flawless.Message{ID: fmt.Sprintf("%s-%d", r.ID(), c.N), From: r.ID(), Call: c.N, Type: h.Type, Body: c.Body}, h.To}, err
}

// deliverMessage returns a function that delivers the message of a call to a run, which may be anywhere.
func (e *Engine) deliverMessage(r *live.Run, to string) errand.Deliver {
	return func(ctx context.Context, call int) error {
		c, open := r.Errand(call)
		if !open {
			return nil
		}
		m, err := message(r, c)
		if err == nil {
			err = e.deliverTo(ctx, to, m.Message)
		}
		if errors.Is(err, flawless.Elsewhere) {
			_, err = sendOp.ask(ctx, e, store.ShardOf(to), sendRequest{To: to, Message: m.Message})
		}
		return e.told(ctx, r, c, delivered(), err)
	}
}

// sendOp delivers a message of a run to another one. The answer means that it is durable.
var sendOp = peerOp[sendRequest, rpc.Nothing]{"send", func(e *Engine, ctx context.Context, in sendRequest) (rpc.Nothing, error) {
	return rpc.Nothing{}, e.deliverTo(ctx, in.To, in.Message)
}}

type sendRequest struct {
	To      string           `cbor:"1,keyasint"`
	Message flawless.Message `cbor:"2,keyasint"`
}

// deliverTo puts a message into a run of this engine, and returns when it is durable.
func (e *Engine) deliverTo(ctx context.Context, id string, m flawless.Message) error {
	r, err := e.receiver(ctx, id, m)
	if err != nil {
		return err
	}
	for {
		var may bool
		var forgotten int
		r.View(func(s *core.State) { may, forgotten = s.MayHaveForgotten(m.From) })
		if may {
			if over, err := e.sendsNoMore(ctx, m.From); over || err != nil { // it was told long ago that the message has arrived
				r.Release()
				return err
			}
		}
		_, err := e.postWith(ctx, r, func(s *core.State, now int64) ([]flawless.Entry, error) {
			if _, current := s.MayHaveForgotten(m.From); current != forgotten {
				return nil, errForgotten
			}
			return s.Accept(m, now)
		})
		switch {
		case errors.Is(err, errForgotten): // perhaps this sender, since its head was read
			r, err = e.receiver(ctx, id, m)
			if err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			return e.posted(ctx, r)
		}
	}
}

// errForgotten says that a run has forgotten senders while a message was on its way.
var errForgotten = errors.New("senders were forgotten")

// sendsNoMore reports whether a run has ended and all it has sent has arrived.
func (e *Engine) sendsNoMore(ctx context.Context, run string) (bool, error) {
	h, err := e.store.Head(ctx, run)
	if errors.Is(err, flawless.NotFound) { // only such runs are removed
		return true, nil
	}
	return err == nil && h.Run.Status.Ended() && !h.Active, err
}

// receiver acquires a run for a message.
func (e *Engine) receiver(ctx context.Context, id string, m flawless.Message) (*live.Run, error) {
	if err := value.Check(nil, m.Body, fmt.Sprintf("sending to run %s: the message cannot be taken", id)); err != nil {
		return nil, err
	}
	r, err := e.runs.Acquire(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("sending to run %s: %w", id, err)
	}
	return r, nil
}

// post puts a message into a run that is acquired, and returns the record that has it or comes before the one that has it.
// The message is not durable yet. After an error the run is released.
func (e *Engine) post(ctx context.Context, r *live.Run, m flawless.Message) (uint64, error) {
	return e.postWith(ctx, r, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Accept(m, now) })
}

// postWith is post with what accept makes of the message.
func (e *Engine) postWith(ctx context.Context, r *live.Run, accept func(s *core.State, now int64) ([]flawless.Entry, error)) (uint64, error) {
	seq, err := r.Update(accept)
	if err != nil {
		if lost := e.posted(ctx, r); lost != nil { // a crash may undo the reason of the refusal
			err = lost
		}
	}
	return seq, err
}

// posted returns when all that was posted to a run is durable, and releases it.
func (e *Engine) posted(ctx context.Context, r *live.Run) error {
	defer r.Release()
	_, err := r.Durable(ctx)
	return err
}

// Send delivers a message to a run and returns the id of the message when it is durable. The message stays in the run until
// the run receives it. A second message with the same key and content is not stored again. Send returns flawless.NotFound
// if there is no such run, and flawless.Conflict if it has ended.
func (e *Engine) Send(ctx context.Context, id string, m flawless.Message) (string, error) {
	sent, _, err := e.deliver(ctx, id, m)
	return sent, err
}

func (e *Engine) deliver(ctx context.Context, id string, m flawless.Message) (string, uint64, error) {
	// A run may receive any type, but people must be able to name it.
	err := errors.Join(flawless.CheckID(id), flawless.CheckKey("the type of a message", m.Type))
	if err == nil {
		err = effect.CheckMessage(m.Type, m.Body)
	}
	if err == nil && m.Key != "" {
		err = flawless.CheckKey("the key of a message", m.Key)
	}
	if err != nil {
		return "", 0, err
	}
	if err := e.life.Accept(); err != nil {
		return "", 0, err
	}
	m.Body = bytes.Clone(m.Body)
	if m.ID = m.Key; m.Key == "" {
		m.ID = "msg_" + rand.Text()
	}
	r, err := e.receiver(ctx, id, m)
	if err != nil {
		return m.ID, 0, err
	}
	seq, err := e.post(ctx, r, m)
	if err == nil {
		err = e.posted(ctx, r)
	}
	return m.ID, seq, err
}

// Unread returns the messages that a run has not received, oldest first. The run may have ended.
func (e *Engine) Unread(ctx context.Context, id string) ([]flawless.Message, error) {
	var unread []flawless.Message
	err := e.peek(ctx, id, func(s *core.State) { unread = slices.Clone(s.Unread()) })
	return unread, err
}

// Ask sends a message like Send, and returns the reply of the run. It returns flawless.Conflict if the run ends without a
// reply.
func (e *Engine) Ask(ctx context.Context, id string, m flawless.Message) (string, []byte, error) {
	sent, seq, err := e.deliver(ctx, id, m)
	if err != nil {
		return sent, nil, err
	}
	for rec, err := range e.Follow(ctx, id, seq) {
		if err != nil {
			return sent, nil, err
		}
		for _, entry := range rec.Entries {
			if entry.Turn == nil {
				continue
			}
			for _, c := range entry.Turn.Calls {
				if c.Kind != effect.Reply {
					continue
				}
				if to, err := effect.ParseReply(c); err == nil && to == sent {
					return sent, c.Body, nil
				}
			}
		}
	}
	return sent, nil, fmt.Errorf("run %s has ended without a reply to message %s: %w", id, sent, flawless.Conflict)
}
