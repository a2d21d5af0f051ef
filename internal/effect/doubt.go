package effect

import "github.com/flawless-engine/flawless"

// Doubting is what a `doubt` call says: the code itself does not know whether something took effect.
type Doubting struct {
	Request string `json:"request"` // what it was, in a line: "POST https://pay.example/charges"
	Reason  string `json:"reason"`  // why nobody can know
}

// ParseDoubt understands a `doubt` call.
func ParseDoubt(c flawless.Call) (Doubting, error) {
	var h Doubting
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Reason == "" {
		return h, invalid(InDoubt, `member "reason" is missing: whoever decides has to know what it is about`)
	}
	return h, nil
}

func checkDoubt(c flawless.Call) (Policy, error) {
	h, err := ParseDoubt(c)
	return Policy{Title: h.Request}, err
}

// RetryAnswer tells the code that what it was in doubt about did not happen.
func RetryAnswer(call int) flawless.Answer {
	return flawless.Answer{Call: call, Head: []byte(`{"note":"retry"}`)}
}
