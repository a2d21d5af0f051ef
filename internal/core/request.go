package core

import (
	"slices"

	"github.com/flawless-engine/flawless"
)

// maxRequests is how many requests a run remembers. One is sent again for twice the time of a lease at most.
const maxRequests = 32

// Once returns what f returns, marked with the id of the request that it is for. If a request with that id has led to entries
// already, it returns none and does not call f: its answer was lost. Without an id it is f.
func (s *State) Once(request string, f func() ([]flawless.Entry, error)) ([]flawless.Entry, error) {
	if request != "" && slices.Contains(s.requests, request) {
		return nil, nil
	}
	entries, err := f()
	if err == nil && len(entries) > 0 {
		entries[0].Request = request
	}
	return entries, err
}

// stepRequest remembers the request of an entry.
func (s *State) stepRequest(id string) {
	if s.requests = append(s.requests, id); len(s.requests) > maxRequests {
		s.requests = slices.Clone(s.requests[1:])
	}
}
