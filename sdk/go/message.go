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
// The error is a [*CallError], of kind not_found where there is no such run, of kind conflict where it has
// ended, and of kind invalid where it waits for messages of that type and v does not fit (nothing is stored
// then), or the cause of ctx where that had ended before: nothing was
// sent then. A message that was sent is waited for although ctx ends.
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

// Receive waits for the next message of a type and returns it. Messages that came before wait in the
// order they came. When ctx ends first, its cause is returned and no message is lost.
//
// A message that does not fit T, as JSON Schema describes it, is refused while Receive waits: who sends it
// gets an error. One that came before is left where it is, for a Receive with another type; flawless
// workflow show lists it.
func Receive[T any](ctx context.Context, kind string) (T, error) {
	m, err := receive[T](ctx, kind, site.Caller(1))
	return m.Value, err
}

// ReceiveMessage is [Receive], and tells who sent it; the sender may wait for a [Message.Reply].
func ReceiveMessage[T any](ctx context.Context, kind string) (Message[T], error) {
	return receive[T](ctx, kind, site.Caller(1))
}

// Messages returns a channel of the messages of a type, for select. One message is taken in as soon as
// the channel has nobody to hand it to, so a run should have one such channel for a type. What does
// not fit T is logged as a warning and left out.
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

// Reply answers a message. Who sent it from outside and waits gets v, once the turn is durable.
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

// inbox is where messages of one type that fit one Go type come in. The engine hands a message to the oldest call for it, so
// the calls that somebody waits for are older than those that are left over.
type inbox struct {
	schema  []byte           // of the messages, nil where they may be anything
	waiting []*turn.Receiver // in the order of their calls
	left    []int            // calls that nobody waits for any more; whoever receives next takes the first
}

// inboxes are those that this run has used, by type.
var inboxes struct {
	sync.Mutex
	of map[string][]*inbox
}

// inboxOf returns the inbox for messages of a type that fit a schema. The caller holds the lock.
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

// withdrawOthers withdraws the calls that are left over from receiving the same messages as another Go type: they
// would take what the next receiver waits for. It returns a message that one of them has got already, for
// that receiver, as the number of its call; 0 is none.
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

// join returns a receiver with a call that is left over, or a new one.
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

// quit takes a receiver out. Where it gives up, its call is the next one's, and so on: what is left over
// is the newest, so that no message goes to nobody while somebody waits.
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
