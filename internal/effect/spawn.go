package effect

import (
	"encoding/json"
	"strings"

	"github.com/flawless-engine/flawless"
)

// SpawnHead is the head of a `spawn` call.
type SpawnHead struct {
	Module   string `json:"module"` // "" is the run's own version of its own module
	Workflow string `json:"workflow"`
	Detached bool   `json:"detached"` // the call is answered once the run is started, and cancelling the parent does not cancel it
	// Shielded says that the code that spawns the child is not cancelled with its run, because it undoes something for
	// instance. Then the child is not cancelled with its parent either. Terminating the parent terminates it.
	Shielded bool `json:"shielded"`
}

// ParseSpawn parses a `spawn` call. Its body is the input of the new run.
func ParseSpawn(c flawless.Call) (SpawnHead, error) {
	var h SpawnHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if strings.TrimSpace(h.Workflow) == "" {
		return h, invalid(Spawn, `member "workflow" is missing`)
	}
	if len(c.Body) > 0 && !json.Valid(c.Body) {
		return h, invalid(Spawn, "the body, which is the input of the new run, is not JSON")
	}
	return h, nil
}

func checkSpawn(c flawless.Call) (Policy, error) {
	h, err := ParseSpawn(c)
	if h.Module != "" {
		h.Workflow = h.Module + "/" + h.Workflow
	}
	if h.Detached {
		h.Workflow += " (detached)"
	}
	return Policy{Title: "spawn " + h.Workflow}, err
}
