package effect

import (
	"encoding/json"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Spawning is what a `spawn` call asks for.
type Spawning struct {
	Module   string `json:"module"` // "" is the run's own version of its own module
	Workflow string `json:"workflow"`
	Detached bool   `json:"detached"` // answered when it was started; not cancelled with its parent
	// Shielded says that a cancellation of the parent does not reach the code that spawns the child: an undo,
	// for instance. It does not reach the child either. Terminating the parent does.
	Shielded bool `json:"shielded"`
}

// ParseSpawn understands a `spawn` call. Its body is the input of the run to be started.
func ParseSpawn(c flawless.Call) (Spawning, error) {
	var h Spawning
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if strings.TrimSpace(h.Workflow) == "" {
		return h, invalid(Spawn, `member "workflow" is missing`)
	}
	if len(c.Body) > 0 && !json.Valid(c.Body) {
		return h, invalid(Spawn, "the body, the input of the run to be started, is not JSON")
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
