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

// session is the run that the guest carries out. A guest has one in its lifetime.
type session struct{ secrets string }

// current is nil outside a workflow. It may be a package variable, because every run has a guest of its own.
var current atomic.Pointer[session]

// RunID returns the id of the run, or "" outside a workflow. It is the same in every replay. In a fork, it is the id
// of the original run during the turns that both share, and the fork's own id after that.
func RunID() string { return self().Run }

// self returns what the engine tells the run about itself at the moment.
func self() wire.Head {
	if current.Load() == nil {
		return wire.Head{}
	}
	h, err := abi.Head(0)
	if err != nil {
		panic("flawless: cannot read the start of the run: " + err.Error())
	}
	return h
}

// SetData publishes v as the data of the run: JSON that can be read from outside while the run continues and after it
// has ended. The last value wins. It becomes visible once the turn is durable, together with everything else of that
// turn, so readers never see data of a turn that a crash has undone. SetData does not wait, and may be called
// concurrently.
//
// The error is an encoding error, a [*CallError] of kind [KindTooLarge] if the JSON is longer than 64 MiB, or
// [ErrOutside].
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

// Sleep waits until d has passed, or until ctx ends, in which case it returns the cause of ctx. Like time.Sleep, it
// is durable: the engine wakes the run after days or restarts.
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

// encode returns v as JSON and does not escape <, > and &.
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
