package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
)

// Message is what a run received.
type Message[T any] struct {
	ID    string // the sender's
	From  string // the run that sent it, "" where it came from outside
	Type  string
	Value T
}

// Send sends v as a message to another run, and returns when it is durable there. It reaches the run
// exactly once; messages of one run to another arrive in the order they were sent. It waits there
// until the run receives it.
//
// The error is a [*CallError], of kind not_found where there is no such run and of kind conflict where
// it has ended (nothing is stored then), or the cause of ctx. In the last case only the waiting ends.
func Send(ctx context.Context, run, kind string, v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("send %s to %s: the message cannot be written as JSON: %w", kind, run, err)
	}
	o := newObject(nil)
	o.str("to", run)
	o.str("type", kind)
	writeSite(&o, callSite(1))
	var h answerHead
	n, _, err := exchange(ctx, "send", o.end(), body, &h)
	if err == nil && h.failure != nil {
		err = h.failure.of("send", kind+" to "+run, n)
	}
	return err
}

// Receive waits for the next message of a type and returns it. Messages that came before wait in the
// order they came. When ctx ends first, its cause is returned and no message is lost.
func Receive[T any](ctx context.Context, kind string) (T, error) {
	m, err := receive[T](ctx, kind, callSite(1))
	return m.Value, err
}

// ReceiveMessage is [Receive], and tells who sent it; the sender may wait for a [Message.Reply].
func ReceiveMessage[T any](ctx context.Context, kind string) (Message[T], error) {
	return receive[T](ctx, kind, callSite(1))
}

// Messages returns a channel of the messages of a type, for select. One message is taken in as soon as
// the channel has nobody to hand it to, so a run should have one such channel for a type. What does
// not fit T is logged as a warning and left out.
func Messages[T any](kind string) <-chan T {
	out := make(chan T)
	at := callSite(1)
	go func() {
		for {
			m, err := receive[T](context.Background(), kind, at)
			switch {
			case err == nil:
				out <- m.Value
			case m.ID != "":
				slog.Warn("a message does not fit", "type", kind, "message", m.ID, "error", err)
			default:
				return
			}
		}
	}()
	return out
}

// Reply answers a message. Who sent it from outside and waits gets v, once the turn is durable.
func (m *Message[T]) Reply(v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("reply to %s: it cannot be written as JSON: %w", m.ID, err)
	}
	o := newObject(nil)
	o.str("message", m.ID)
	writeSite(&o, callSite(1))
	_, err = makeCall("reply", o.end(), body)
	return err
}

// unclaimed are calls for messages that nobody waits for any more, by type: whoever receives next waits for
// them, so that no message goes to nobody.
var unclaimed struct {
	sync.Mutex
	calls map[string][]int
}

func receive[T any](ctx context.Context, kind, at string) (m Message[T], err error) {
	if ctx.Err() != nil {
		return m, context.Cause(ctx)
	}
	n, err := receiving(kind, at)
	if err != nil {
		return m, err
	}
	if !arrives(ctx, n) {
		unclaimed.Lock()
		defer unclaimed.Unlock()
		if unclaimed.calls == nil {
			unclaimed.calls = map[string][]int{}
		}
		unclaimed.calls[kind] = append(unclaimed.calls[kind], n)
		return m, context.Cause(ctx)
	}
	var h answerHead
	body, err := take(n, &h)
	if err == nil && h.failure != nil {
		err = h.failure.of("receive", kind, n)
	}
	if err != nil {
		return m, err
	}
	m.ID, m.From, m.Type = h.id, h.from, h.kind
	if err := json.Unmarshal(body, &m.Value); err != nil {
		return m, fmt.Errorf("message %s of type %s does not fit %T: %w", m.ID, kind, m.Value, err)
	}
	return m, nil
}

// receiving returns a call for a message: one that is left over, or a new one.
func receiving(kind, at string) (int, error) {
	unclaimed.Lock()
	if calls := unclaimed.calls[kind]; len(calls) > 0 {
		unclaimed.calls[kind] = calls[1:]
		unclaimed.Unlock()
		return calls[0], nil
	}
	unclaimed.Unlock()
	o := newObject(nil)
	o.str("type", kind)
	writeSite(&o, at)
	return makeCall("receive", o.end(), nil)
}
