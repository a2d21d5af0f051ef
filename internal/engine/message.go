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
	"github.com/flawless-engine/flawless/internal/value"
)

// send delivers a message to another run, or to this one.
func (e *Engine) send(r *run, c *core.OpenCall) error {
	h, err := effect.ParseSend(c.Call)
	if err != nil {
		return err
	}
	m := flawless.Message{ID: fmt.Sprintf("%s-%d", r.id, c.N), From: r.id, Call: c.N, Type: h.Type, Body: c.Body}
	to, _, err := e.post(e.performCtx, e.meant(r, h.To), m)
	if err != nil {
		return err
	}
	e.hold(r)
	e.tasks.Go(func() {
		defer e.release(r)
		if e.kept(e.performCtx, to) == nil {
			e.answer(r, c.N, flawless.Answer{Head: []byte("{}")})
		}
	})
	return nil
}

// kept returns when all that was posted to a run is durable, and releases it.
func (e *Engine) kept(ctx context.Context, r *run) error {
	defer e.release(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.durable(ctx)
	return err
}

// post puts a message into a run, which it leaves acquired, and returns the record that has it or
// comes before the one that has it. The message is not durable yet.
func (e *Engine) post(ctx context.Context, id string, m flawless.Message) (*run, uint64, error) {
	if err := value.Check(nil, m.Body, fmt.Sprintf("sending to run %s: the message cannot be taken", id)); err != nil {
		return nil, 0, err
	}
	r, err := e.acquire(ctx, id)
	if err != nil {
		return nil, 0, fmt.Errorf("sending to run %s: %w", id, err)
	}
	r.mu.Lock()
	entries, err := r.s.Accept(m, e.now())
	if err != nil {
		if _, lost := r.durable(ctx); lost != nil { // what it is refused for may be undone by a crash
			err = lost
		}
		r.mu.Unlock()
		e.release(r)
		return nil, 0, err
	}
	seq := uint64(0)
	if len(entries) > 0 {
		seq = r.seq
		r.append(entries...)
		r.wakeLocked()
	}
	r.mu.Unlock()
	return r, seq, nil
}

// Send delivers a message to a run and returns its id when it is durable. It waits in the run until
// the run receives it. One with a key that came before, and the same content, is not stored again.
// It returns flawless.NotFound where there is no such run, flawless.Conflict where it has ended.
func (e *Engine) Send(ctx context.Context, id string, m flawless.Message) (string, error) {
	sent, _, err := e.deliver(ctx, id, m)
	return sent, err
}

func (e *Engine) deliver(ctx context.Context, id string, m flawless.Message) (string, uint64, error) {
	err := errors.Join(flawless.CheckID(id), effect.CheckMessage(m.Type, m.Body))
	if err == nil { // a run may receive any type, but people must be able to name it
		err = flawless.CheckKey("the type of a message", m.Type)
	}
	if err == nil && m.Key != "" {
		err = flawless.CheckKey("the key of a message", m.Key)
	}
	if err != nil {
		return "", 0, err
	}
	if err := e.accepts(); err != nil {
		return "", 0, err
	}
	m.Body = bytes.Clone(m.Body)
	if m.ID = m.Key; m.Key == "" {
		m.ID = "msg_" + rand.Text()
	}
	r, seq, err := e.post(ctx, id, m)
	if err == nil {
		err = e.kept(ctx, r)
	}
	return m.ID, seq, err
}

// Unread returns the messages that a run has not received, oldest first, also of a run that has ended.
func (e *Engine) Unread(ctx context.Context, id string) ([]flawless.Message, error) {
	var unread []flawless.Message
	err := e.peek(ctx, id, func(s *core.State) { unread = slices.Clone(s.Unread()) })
	return unread, err
}

// Ask is Send, and returns what the run replies to the message. It returns flawless.Conflict where
// the run ends without a reply.
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
