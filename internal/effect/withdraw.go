package effect

import (
	"encoding/json"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Why code withdraws a call.
const (
	WhyDeadline  = "deadline"  // its context's deadline has passed
	WhyCancelled = "cancelled" // its context was cancelled
	WhyDropped   = "dropped"   // it dropped what waited for the answer
)

// Withdrawing is what a `withdraw` call asks for: the code does not want to wait for a call any longer.
type Withdrawing struct {
	Call   int    `json:"call"`   // of a kind that is performed
	Why    string `json:"why"`    // one of the constants above
	Settle bool   `json:"settle"` // an attempt under way is waited for, also where the call is idempotent
}

// ParseWithdraw understands a `withdraw` call.
func ParseWithdraw(c flawless.Call) (Withdrawing, error) {
	var h Withdrawing
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Call <= 0 || h.Call >= c.N {
		return h, invalid(Withdraw, `member "call" is %d, give the number of a call made before`, h.Call)
	}
	switch h.Why {
	case WhyDeadline, WhyCancelled, WhyDropped:
		return h, nil
	}
	return h, invalid(Withdraw, `member "why" is %q, give one of %s`, h.Why, strings.Join([]string{WhyDeadline, WhyCancelled, WhyDropped}, ", "))
}

func checkWithdraw(c flawless.Call) (Policy, error) {
	_, err := ParseWithdraw(c)
	return Policy{Title: "withdraw"}, err
}

// The reasons that the answer of a withdrawn call gives.
const (
	NotBegun  = "not_begun" // no attempt was under way: it had just been made, or waited for a retry or for a place under a limit
	Abandoned = "abandoned" // what became of the last attempt is not waited for, or is not known
)

// WithdrawnAnswer returns the answer of a call that was withdrawn.
func WithdrawnAnswer(call int, reason, message string) flawless.Answer {
	return errorAnswer(call, kindWithdrawn, message, reason, 0)
}

// IsWithdrawn tells whether an answer is that of a call that was withdrawn.
func IsWithdrawn(a flawless.Answer) bool {
	var h struct {
		Error struct {
			Kind string `json:"kind"`
		} `json:"error"`
	}
	return json.Unmarshal(a.Head, &h) == nil && h.Error.Kind == kindWithdrawn
}
