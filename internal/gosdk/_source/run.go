package flawless

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// session is the run that a guest carries out. A guest has one in its life.
type session struct{ secrets string }

// current is nil outside a workflow. A guest is a world of its own and belongs to one run, so this
// is the run's state, not shared by any two.
var current atomic.Pointer[session]

// RunID returns the id of the run, the same in every replay, or "" outside a workflow. It changes when
// the run is forked: in the turns that a fork shares with another run it is the id of that one, from
// then on the fork's own.
func RunID() string { return self().Run }

// self returns what the run is told of itself at the moment.
func self() wire.Head {
	if current.Load() == nil {
		return wire.Head{}
	}
	h, err := abi.Head(0)
	if err != nil {
		panic("flawless: the start of the run cannot be read: " + err.Error())
	}
	return h
}

// SetData publishes v as the run's data: JSON that can be read from outside while the run goes on
// and after its end. The last value wins. It becomes visible once the turn is durable, together with
// everything else of that turn, so readers never see data of a turn that a crash undid.
//
// The error says that v cannot be written as JSON, is a [*CallError] of kind too_large where that has
// more than 64 MiB, or is [ErrOutside]. SetData does not wait, and
// may be called concurrently.
func SetData(v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("the run's data cannot be written as JSON: %w", err)
	}
	if current.Load() == nil {
		return ErrOutside
	}
	if err := checkBody("data", "", body); err != nil {
		return err
	}
	o := wire.NewObject(nil)
	if at := site.Caller(1); at != "" {
		o.Str("at", at)
	}
	note("data", o.End(), body)
	return nil
}

// Sleep waits until d has passed or ctx ends, and returns [context.Cause] of ctx in the latter case.
// Like time.Sleep it is durable: the engine wakes the run, after days or restarts if need be.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// encode writes v as JSON and leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
