package effect

import "github.com/flawless-engine/flawless"

// checkLabel checks a label of the run. An empty value removes the label.
func checkLabel(c flawless.Call) (Policy, error) {
	var h struct{ Name, Value string }
	if err := decode(c, &h); err != nil {
		return Policy{}, err
	}
	if err := flawless.CheckLabel(h.Name, h.Value); err != nil {
		return Policy{}, invalid(Label, "%v", err)
	}
	return Policy{Title: "label " + h.Name}, nil
}
