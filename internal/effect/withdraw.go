package effect

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Why code withdraws a call.
const (
	WhyDeadline  = "deadline"  // its context's deadline has passed
	WhyCancelled = "cancelled" // its context was cancelled
	WhyDropped   = "dropped"   // it dropped the future that waited for the answer
)

// WithdrawHead is the head of a `withdraw` call, which says that the code no longer waits for a call.
type WithdrawHead struct {
	Call   int    `json:"call"`   // of a kind that is performed
	Why    string `json:"why"`    // one of the constants above
	Settle bool   `json:"settle"` // wait for an attempt under way even if the call is idempotent
}

// ParseWithdraw parses a `withdraw` call.
func ParseWithdraw(c flawless.Call) (WithdrawHead, error) {
	var h WithdrawHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Call <= 0 || h.Call >= c.N {
		return h, invalid(Withdraw, `member "call" is %d, give the number of an earlier call`, h.Call)
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

// The reasons in the answer of a withdrawn call.
const (
	NotBegun  = "not_begun" // no attempt was under way: the call was new, or waited for a retry or a permit
	Abandoned = "abandoned" // the outcome of the last attempt is unknown or was not waited for
)

// WithdrawnAnswer returns the answer of a call that was withdrawn.
func WithdrawnAnswer(call int, reason, message string) flawless.Answer {
	return errorAnswer(call, kindWithdrawn, message, reason, 0)
}

// IsWithdrawn reports whether an answer is that of a withdrawn call.
func IsWithdrawn(a flawless.Answer) bool {
	if !bytes.Contains(a.Head, []byte(kindWithdrawn)) {
		return false
	}
	var h struct {
		Error struct {
			Kind string `json:"kind"`
		} `json:"error"`
	}
	return json.Unmarshal(a.Head, &h) == nil && h.Error.Kind == kindWithdrawn
}
