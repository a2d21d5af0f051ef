package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

func TestHeadRoundTrip(t *testing.T) {
	t.Parallel()
	c, err := codec.New()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	head := Head{Active: true, Wake: 5, Run: flawless.Run{
		ID: "a", Status: flawless.Waiting, Created: at, Wake: &at, Output: []byte(`{"a":1}`),
		Failure:    &flawless.Failure{Kind: "k"},
		Unresolved: []flawless.Doubt{{Call: 1, Since: at, Request: "POST"}},
	}}
	var value bytes.Buffer
	if err := c.Encode(&value, &head); err != nil {
		t.Fatal(err)
	}
	var gotHead Head
	if err := c.Decode(value.Bytes(), &gotHead); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(head, gotHead); diff != "" {
		t.Errorf("head differs (-written +read):\n%s", diff)
	}
}
