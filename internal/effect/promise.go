package effect

import (
	"encoding/json"
	"time"

	"github.com/flawless-engine/flawless"
)

// PromiseHead is the head of a `promise` call.
type PromiseHead struct {
	Name    string `json:"name"`
	Secret  string `json:"secret"`  // makes the token unguessable; the guest draws it at random
	Expires int64  `json:"expires"` // Unix nanoseconds, 0 is never
	// Schema is the JSON Schema of the value, empty if the code has no type for it.
	Schema json.RawMessage `json:"schema"`
}

const minSecret = 16 // characters

// ParsePromise parses a `promise` call.
func ParsePromise(c flawless.Call) (PromiseHead, error) {
	var h PromiseHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if len(h.Secret) < minSecret {
		return h, invalid(Promise, `member "secret" has %d characters, give %d or more at random`, len(h.Secret), minSecret)
	}
	for _, r := range h.Secret {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') {
			return h, invalid(Promise, `member "secret" may only have digits and lower-case letters`)
		}
	}
	if h.Expires < 0 {
		return h, invalid(Promise, `member "expires" is %d, give Unix time in nanoseconds`, h.Expires)
	}
	return h, checkSchema(Promise, h.Schema)
}

func checkPromise(c flawless.Call) (Policy, error) {
	h, err := ParsePromise(c)
	return Policy{Title: "promise " + h.Name}, err
}

func duePromise(c flawless.Call, _ time.Time) (time.Time, flawless.Answer, error) {
	h, err := ParsePromise(c)
	if err != nil || h.Expires == 0 {
		return time.Time{}, flawless.Answer{}, err
	}
	return time.Unix(0, h.Expires), ErrorAnswer(c.N, "expired", "nobody settled the promise in time"), nil
}
