package flawless

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/schema"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Message is a message that the run received.
type Message[T any] struct {
	ID    string // <run>-<call> of the sender, or chosen by a client
	From  string // the run that sent it, "" if it came from outside
	Type  string
	Value T
}

// Send sends v as a message of the given kind to another run, and returns when it is durable there. It is delivered
// exactly once; messages from one run to another arrive in the order in which they were sent. It stays in the inbox
// of that run until the run receives it.
//
// The error is a [*CallError] of kind [KindNotFound] if there is no such run, of kind [KindConflict] if the run has
// ended, and of kind [KindInvalid] if the run is waiting for messages of that kind and v does not fit; nothing is
// stored then. If ctx has ended, Send sends nothing and returns the cause of ctx. Once the message is sent, Send
// waits for the result even if ctx ends.
func Send(ctx context.Context, run, kind string, v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("send %s to %s: the message cannot be written as JSON: %w", kind, run, err)
	}
	o := wire.NewObject(nil)
	o.Str("to", run)
	o.Str("type", kind)
	o.Site(site.Caller(1))
	var h wire.Head
	n, _, err := exchange(ctx, "send", o.End(), body, &h)
	if err == nil && h.Failure != nil {
		err = callError(h.Failure, "send", kind+" to "+run, n)
	}
	return err
}

// Receive waits for the next message of the given kind and returns its value. Messages that arrived earlier are
// received in order of arrival. If ctx ends first, Receive returns its cause, and no message is lost.
//
// While Receive waits, the engine rejects a message that does not fit the JSON Schema of T, and the sender gets the
// error. A message that arrived earlier and does not fit stays in the inbox for a Receive with another type; flawless
// workflow show lists it.
func Receive[T any](ctx context.Context, kind string) (T, error) {
	m, err := receive[T](ctx, kind, site.Caller(1))
	return m.Value, err
}

// ReceiveMessage is [Receive] for code that needs to know the sender or to send it a [Message.Reply].
func ReceiveMessage[T any](ctx context.Context, kind string) (Message[T], error) {
	return receive[T](ctx, kind, site.Caller(1))
}

// Messages returns a channel of the messages of the given kind, for use in select. The channel takes one message from
// the inbox ahead of time, so use only one such channel per kind. A message that does not fit T is dropped with a
// warning in the log. The channel is never closed.
func Messages[T any](kind string) <-chan T {
	out := make(chan T)
	at := site.Caller(1)
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

// Reply answers a message. A sender outside that waits for the reply gets v once the turn is durable. Reply does not
// wait.
func (m *Message[T]) Reply(v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("reply to %s: it cannot be written as JSON: %w", m.ID, err)
	}
	o := wire.NewObject(nil)
	o.Str("message", m.ID)
	o.Site(site.Caller(1))
	_, err = makeCall("reply", o.End(), body)
	return err
}

// inbox holds the receivers of messages of one kind and one Go type. The engine delivers a message to the oldest call
// that receives its kind, so calls with a waiting receiver must be older than spare ones.
type inbox struct {
	schema  []byte           // of the messages, nil if they may be anything
	waiting []*turn.Receiver // in the order of their calls
	left    []int            // spare calls: their receiver gave up; the next receiver takes the first
}

// inboxes are those that this run has used, by kind.
var inboxes struct {
	sync.Mutex
	of map[string][]*inbox
}

// inboxOf returns the inbox for messages of a kind that fit a schema. The caller holds the lock.
func inboxOf(kind string, schema []byte) *inbox {
	if inboxes.of == nil {
		inboxes.of = map[string][]*inbox{}
	}
	for _, in := range inboxes.of[kind] {
		if bytes.Equal(in.schema, schema) {
			return in
		}
	}
	in := &inbox{schema: schema}
	inboxes.of[kind] = append(inboxes.of[kind], in)
	return in
}

// withdrawOthers withdraws spare calls that receive the same kind as another Go type: they would take the message
// that the next receiver waits for. If one of them already has a message, it returns the number of that call for the
// receiver to use, otherwise 0.
func withdrawOthers(kind string, schema []byte) (int, error) {
	for {
		call := 0
		inboxes.Lock()
		for _, in := range inboxes.of[kind] {
			if call == 0 && len(in.left) > 0 && !bytes.Equal(in.schema, schema) {
				call, in.left = in.left[0], in.left[1:]
			}
		}
		inboxes.Unlock()
		if call == 0 {
			return 0, nil
		}
		o := wire.NewObject(nil)
		o.Int("call", int64(call))
		o.Str("why", "dropped")
		if _, err := makeCall("withdraw", o.End(), nil); err != nil {
			return 0, err
		}
		for !turn.Wait(context.Background(), call) {
		}
		h, err := abi.Head(call)
		if err != nil || h.Failure == nil {
			return call, err
		}
		abi.Forget(call)
	}
}

// join returns a receiver with a spare call, or with a new one.
func join(kind, at string, schema []byte) (*turn.Receiver, error) {
	got, err := withdrawOthers(kind, schema)
	if err != nil {
		return nil, err
	}
	inboxes.Lock()
	defer inboxes.Unlock()
	in := inboxOf(kind, schema)
	r := &turn.Receiver{}
	if got != 0 {
		r.Call = got
	} else if len(in.left) > 0 {
		r.Call, in.left = in.left[0], in.left[1:]
	} else {
		o := wire.NewObject(nil)
		o.Str("type", kind)
		if schema != nil {
			o.Raw("schema", schema)
		}
		o.Site(at)
		if r.Call, err = makeCall("receive", o.End(), nil); err != nil {
			return nil, err
		}
	}
	in.waiting = append(in.waiting, r)
	return r, nil
}

// quit removes a receiver. If it gave up, its call goes to the next receiver, whose call goes to the one after it,
// and so on: the newest call becomes the spare one, so that no message goes to a spare call while a receiver waits.
func quit(kind string, schema []byte, r *turn.Receiver, givesUp bool) {
	inboxes.Lock()
	defer inboxes.Unlock()
	in := inboxOf(kind, schema)
	i := slices.Index(in.waiting, r)
	if givesUp {
		in.left = slices.Insert(in.left, 0, turn.PassOn(in.waiting[i:]))
	}
	in.waiting = slices.Delete(in.waiting, i, i+1)
}

func receive[T any](ctx context.Context, kind, at string) (m Message[T], err error) {
	if ctx.Err() != nil {
		return m, context.Cause(ctx)
	}
	wanted, err := schema.ForCall[T]()
	if err != nil {
		return m, fmt.Errorf("receive %s: %w", kind, err)
	}
	r, err := join(kind, at, wanted)
	if err != nil {
		return m, err
	}
	there := r.Wait(ctx)
	quit(kind, wanted, r, !there)
	if !there {
		return m, context.Cause(ctx)
	}
	n := r.Call
	var h wire.Head
	body, err := abi.Take(n, &h)
	if err == nil && h.Failure != nil {
		err = callError(h.Failure, "receive", kind, n)
	}
	if err != nil {
		return m, err
	}
	m.ID, m.From, m.Type = h.ID, h.From, h.Type
	if err := json.Unmarshal(body, &m.Value); err != nil {
		return m, fmt.Errorf("message %s of type %s does not fit %T: %w", m.ID, kind, m.Value, err)
	}
	return m, nil
}
