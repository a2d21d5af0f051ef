package local

import (
	"bytes"

	"github.com/flawless-engine/flawless"
)

// LacksSecret reports whether a request was not sent because there is no such secret.
func LacksSecret(log []flawless.Record) bool {
	for _, rec := range log {
		for _, e := range rec.Entries {
			if e.Arrival != nil && bytes.Contains(e.Arrival.Head, []byte("there is no secret ")) {
				return true
			}
		}
	}
	return false
}
