//go:build !wasip1

package turn

import (
	"context"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Wait returns false: there is no answer outside a guest.
func Wait(context.Context, int) bool { return false }

// WaitNew returns false.
func WaitNew(context.Context, int) bool { return false }

// Take returns an error.
func Take(call int, h *wire.Head) ([]byte, error) { return abi.Take(call, h) }

// Receiver is a goroutine that waits for a message.
type Receiver struct{ Call int }

// Wait returns false.
func (*Receiver) Wait(context.Context) bool { return false }

// PassOn returns the call of the last receiver.
func PassOn(all []*Receiver) int { return all[len(all)-1].Call }
