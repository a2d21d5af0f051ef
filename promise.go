package flawless

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Promise is what the outside has been asked to answer, once.
type Promise struct {
	Token   string     `json:"token"`
	Name    string     `json:"name,omitempty"`
	Run     string     `json:"run"`
	Call    int        `json:"call"`
	Made    time.Time  `json:"made"`
	Expires *time.Time `json:"expires,omitempty"`
}

// PromiseToken is the token of a promise: whoever knows it may settle the promise.
func PromiseToken(secret, run string, call int) string {
	return secret + "." + strconv.Itoa(call) + "." + run
}

// ParsePromiseToken takes a token apart, or returns [NotFound]: it is none.
func ParsePromiseToken(token string) (secret, run string, call int, err error) {
	secret, rest, ok := strings.Cut(token, ".")
	n, run, also := strings.Cut(rest, ".")
	call, err = strconv.Atoi(n)
	if !ok || !also || err != nil || call <= 0 || CheckID(run) != nil {
		return "", "", 0, fmt.Errorf("there is no promise with this token; make sure that you copied all of it: %w", NotFound)
	}
	return secret, run, call, nil
}
