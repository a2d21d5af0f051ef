package flawless

import (
	"strings"
	"testing"
)

// TestWaitingForTypeThatCannotBeJSONFails guards against a wait without a schema, which would consume any value.
func TestWaitingForTypeThatCannotBeJSONFails(t *testing.T) {
	t.Parallel()
	_, promised := NewPromise[chan int](t.Context(), "p").Wait(t.Context())
	_, received := Receive[[]func()](t.Context(), "k")
	for _, err := range []error{promised, received} {
		if err == nil || !strings.Contains(err.Error(), "cannot be JSON: ") {
			t.Errorf("the error is %v", err)
		}
	}
}
