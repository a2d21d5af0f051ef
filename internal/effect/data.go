package effect

import (
	"encoding/json"

	"github.com/flawless-engine/flawless"
)

// checkData checks the JSON that a run publishes about itself.
func checkData(c flawless.Call) (Policy, error) {
	if len(c.Head) > 0 {
		if err := decode(c, &struct{}{}); err != nil {
			return Policy{}, err
		}
	}
	if !json.Valid(c.Body) {
		return Policy{}, invalid(Data, "the body is not JSON")
	}
	return Policy{Title: "data"}, nil
}
