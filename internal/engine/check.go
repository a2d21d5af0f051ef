package engine

import (
	"fmt"

	"github.com/flawless-engine/flawless"
)

// StoreCheck returns what the last check of all that is stored has found, and how far the one is that is under
// way. flawless.Invalid where the store has no files that it could check.
func (e *Engine) StoreCheck() (flawless.StoreCheck, error) {
	if !e.store.CanCheck() {
		return flawless.StoreCheck{}, fmt.Errorf("checking the store: it has no files of its own: %w", flawless.Invalid)
	}
	return e.scrubber.Report(), nil
}

// CheckStore begins a check of all that is stored and returns at once. Where one is under way that one hurries.
func (e *Engine) CheckStore() (flawless.StoreCheck, error) {
	if _, err := e.StoreCheck(); err != nil {
		return flawless.StoreCheck{}, err
	}
	if e.life.Over() || e.life.Stopping() {
		return flawless.StoreCheck{}, e.life.Err()
	}
	return e.scrubber.Ask(), nil
}
