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
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/value"
)

// send delivers a message to another run, or to this one.
func (e *Engine) send(r *live.Run, c *core.OpenCall) error {
	h, err := effect.ParseSend(c.Call)
	if err != nil {
		return err
	}
	m := flawless.Message{ID: fmt.Sprintf("%s-%d", r.ID(), c.N), From: r.ID(), Call: c.N, Type: h.Type, Body: c.Body}
	to, _, err := e.post(e.life.Calls, e.resolveID(r, h.To), m)
	if err != nil {
		return err
	}
	if !e.runs.OwnsAll() { // a message that has to be sent again must not be overtaken
		if err := e.posted(e.life.Calls, to); err != nil {
			return err
		}
		r.Answer(c.N, flawless.Answer{Head: []byte("{}")})
		return nil
	}
	r.Retain()
	e.tasks.Go(func() {
		defer r.Release()
		switch err := e.posted(e.life.Calls, to); {
		case err == nil:
			r.Answer(c.N, flawless.Answer{Head: []byte("{}")})
		case errors.Is(err, flawless.Elsewhere):
			r.Redo(c.N)
		}
	})
	return nil
}

// post puts a message into a run, which it leaves acquired, and returns the record that has it or comes before the one
// that has it. The message is not durable yet.
func (e *Engine) post(ctx context.Context, id string, m flawless.Message) (*live.Run, uint64, error) {
	if err := value.Check(nil, m.Body, fmt.Sprintf("sending to run %s: the message cannot be taken", id)); err != nil {
		return nil, 0, err
	}
	r, err := e.runs.Acquire(ctx, id)
	if err != nil {
		return nil, 0, fmt.Errorf("sending to run %s: %w", id, err)
	}
	seq, err := r.Update(func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Accept(m, now) })
	if err != nil {
		if lost := e.posted(ctx, r); lost != nil { // a crash may undo the reason of the refusal
			err = lost
		}
		return nil, 0, err
	}
	return r, seq, nil
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
	r, seq, err := e.post(ctx, id, m)
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
