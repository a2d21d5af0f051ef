package effect

import "github.com/flawless-engine/flawless"

// checkCancelled checks the call that is answered when the run is cancelled.
func checkCancelled(c flawless.Call) (Policy, error) {
	if len(c.Head) > 0 {
		if err := decode(c, &struct{}{}); err != nil {
			return Policy{}, err
		}
	}
	return Policy{Title: "cancelled"}, nil
}
