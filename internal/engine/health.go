package engine

import (
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
)

// Health returns the condition of the engine.
func (e *Engine) Health() flawless.Health {
	id, c := e.store.Identity(), e.runs.Counts()
	slots, _, _ := e.residency.Slots()
	h := flawless.Health{Version: flawless.Version, Store: id.ID, Start: e.start, Origin: id.Origin, State: "ok", Open: c.Open, Live: slots, Quarantined: c.Quarantined, Retrying: c.Retrying, Code: e.guest.CodeSize(),
		Replayed: c.Replayed, Frozen: c.Frozen, Thawed: c.Thawed, Fallbacks: c.Fallbacks}
	full, why := false, ""
	if e.life.Cause() == nil && !e.life.Stopping() {
		full, why = e.life.Full() // also before it was asked for the first time
	}
	switch {
	case e.life.Cause() != nil:
		h.State, h.Message = "broken", e.life.Err().Error()
	case e.life.Stopping():
		h.State, h.Message = "stopping", "the server is shutting down and accepts no new work"
	case e.Away() != nil:
		h.State, h.Message = "disconnected", e.Away().Error()
	case full:
		h.State, h.Message = "full", why
	default:
		if why := e.scrubber.Damage(); why != "" {
			h.State, h.Message = "damaged", "stored data cannot be read; work that does not need it continues: "+why
		}
	}
	if e.store.CanCheck() {
		h.Check = e.scrubber.Health()
	}
	h.History, h.Held = inQuestion(e.History())
	return h
}

// inQuestion says for people that runs are held because the database may have lost calls, and how many. Anybody may read it.
func inQuestion(h flawless.History) (text string, held int) {
	switch {
	case h.Open:
		return fmt.Sprintf("the database may have lost calls that were made; %d runs are held until somebody decides: run flawless history", h.Held), h.Held
	case len(h.Resuming) > 0:
		return "runs that were held because the database may have lost calls are being resumed: see flawless history", 0
	}
	return "", 0
}

// watchSpace wakes the runs when there is space again.
func (e *Engine) watchSpace() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-e.life.Turns.Done():
			return
		case <-tick.C:
			e.life.Full()
			if err := e.store.Failed(); err != nil {
				e.life.Break(err) // without a write, the failure could go unnoticed for hours
			}
		case <-e.life.HasSpace():
			e.log.Info("disk space available again, continuing")
			e.runs.WakeAll()
			e.clock.Again()
			e.recover(e.lease.Owned())
		}
	}
}

// StoreCheck returns the result of the last check of the store, and the progress of a running one. It
// returns flawless.Invalid if the store has no files of its own to check.
func (e *Engine) StoreCheck() (flawless.StoreCheck, error) {
	if !e.store.CanCheck() {
		return flawless.StoreCheck{}, fmt.Errorf("checking the store: it is in a database; use the checks that the database offers: %w", flawless.Invalid)
	}
	return e.scrubber.Report(), nil
}

// CheckStore begins a check of the store and returns at once. A check that is running hurries up.
func (e *Engine) CheckStore() (flawless.StoreCheck, error) {
	if _, err := e.StoreCheck(); err != nil {
		return flawless.StoreCheck{}, err
	}
	if e.life.Over() || e.life.Stopping() {
		return flawless.StoreCheck{}, e.life.Err()
	}
	return e.scrubber.Ask(), nil
}
