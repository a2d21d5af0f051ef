package effect

import "github.com/flawless-engine/flawless"

// Awaiting is what an `await` call asks for: the end of a run.
type Awaiting struct {
	Run string `json:"run"`
}

// ParseAwait understands an `await` call.
func ParseAwait(c flawless.Call) (Awaiting, error) {
	var h Awaiting
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if err := flawless.CheckID(h.Run); err != nil {
		return h, invalid(Await, `member "run": %v`, err)
	}
	return h, nil
}

func checkAwait(c flawless.Call) (Policy, error) {
	h, err := ParseAwait(c)
	return Policy{Title: "await " + h.Run}, err
}

// EndAnswer tells how a run ended: its output, or an error whose kind is its status and whose reason
// is the kind of its failure.
func EndAnswer(r flawless.Run) flawless.Answer {
	if r.Status == flawless.Completed {
		b := appendString([]byte(`{"run":`), r.ID)
		return flawless.Answer{Head: append(b, '}'), Body: flawless.Bytes(r.Output)}
	}
	message, reason := "", ""
	if r.Failure != nil {
		message, reason = r.Failure.Message, r.Failure.Kind
	}
	return errorAnswer(0, string(r.Status), message, reason, 0)
}

// StartedAnswer tells that a run was started.
func StartedAnswer(id string) flawless.Answer {
	return flawless.Answer{Head: append(appendString([]byte(`{"run":`), id), '}')}
}
