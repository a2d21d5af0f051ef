package effect

import "github.com/flawless-engine/flawless"

// DoubtHead is the head of a `doubt` call, with which the code reports that it does not know whether something took
// effect.
type DoubtHead struct {
	Request string `json:"request"` // one line, such as "POST https://pay.example/charges"
	Reason  string `json:"reason"`  // why the outcome is unknown
}

// ParseDoubt parses a `doubt` call.
func ParseDoubt(c flawless.Call) (DoubtHead, error) {
	var h DoubtHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Reason == "" {
		return h, invalid(Doubt, `member "reason" is missing, say why the outcome is unknown`)
	}
	return h, nil
}

func checkDoubt(c flawless.Call) (Policy, error) {
	h, err := ParseDoubt(c)
	return Policy{Title: h.Request}, err
}

// RetryAnswer returns the answer of a `doubt` call that says that the request did not take effect.
func RetryAnswer(call int) flawless.Answer {
	return flawless.Answer{Call: call, Head: []byte(`{"note":"retry"}`)}
}
