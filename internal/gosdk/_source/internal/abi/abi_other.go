//go:build !wasip1

package abi

import (
	"errors"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Guest reports whether this program is a guest of an engine.
const Guest = false

var errNoEngine = errors.New("abi: there is no engine outside a guest")

// Call makes no call and returns -1.
func Call(kind string, head, body []byte) int { return -1 }

// Answered returns false.
func Answered(call int) bool { return false }

// Take returns an error.
func Take(call int, h *wire.Head) ([]byte, error) { return nil, errNoEngine }

// Head returns an error.
func Head(call int) (wire.Head, error) { return wire.Head{}, errNoEngine }

// Forget does nothing.
func Forget(call int) {}
