package client

import "testing"

// TestRefusalNamesEachInvalidPartOnce: the detail of a server names them, and that of an older one does not.
func TestRefusalNamesEachInvalidPartOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"detail":"the request is invalid: query.limit: expected number >= 1","code":"invalid","errors":[{"message":"expected number >= 1","location":"query.limit"}]}`: "the request is invalid: query.limit: expected number >= 1",
		`{"detail":"validation failed","code":"invalid","errors":[{"message":"expected number >= 1","location":"query.limit"}]}`:                                         "validation failed; query.limit: expected number >= 1",
	} {
		if got := refusal(422, []byte(body)).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
