package effect

import "github.com/flawless-engine/flawless"

// AwaitHead is the head of an `await` call, which asks for the end of a run.
type AwaitHead struct {
	Run string `json:"run"`
}

// ParseAwait parses an `await` call.
func ParseAwait(c flawless.Call) (AwaitHead, error) {
	var h AwaitHead
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

// EndAnswer returns an answer that says how a run ended: its output, or an error whose kind is the run's status and
// whose reason is the kind of its failure.
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

// StartedAnswer returns an answer that says that a run was started.
func StartedAnswer(id string) flawless.Answer {
	return flawless.Answer{Head: append(appendString([]byte(`{"run":`), id), '}')}
}
