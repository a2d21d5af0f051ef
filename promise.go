package flawless

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Promise is a value that the outside is to provide, once.
type Promise struct {
	Token   string     `json:"token"`
	Name    string     `json:"name,omitempty"`
	Run     string     `json:"run"`
	Call    int        `json:"call"`
	Made    time.Time  `json:"made"`
	Expires *time.Time `json:"expires,omitempty"`
	// Schema is the JSON Schema of its value, in the list of the promises of a run; nil if the code has no type for it.
	Schema json.RawMessage `json:"schema,omitempty"`
}

// PromiseToken returns the token of a promise. Anyone who knows it may settle the promise.
func PromiseToken(secret, run string, call int) string {
	return secret + "." + strconv.Itoa(call) + "." + run
}

// ParsePromiseToken splits a token into its parts. The error is [NotFound] if it is not a token.
func ParsePromiseToken(token string) (secret, run string, call int, err error) {
	secret, rest, ok := strings.Cut(token, ".")
	n, run, also := strings.Cut(rest, ".")
	call, err = strconv.Atoi(n)
	if !ok || !also || err != nil || call <= 0 || CheckID(run) != nil {
		return "", "", 0, fmt.Errorf("there is no promise with this token; make sure that you copied all of it: %w", NotFound)
	}
	return secret, run, call, nil
}
