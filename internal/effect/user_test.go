package effect_test

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestUserInURLIsSentAsBasicAuthorization checks that a user in a URL is sent as other clients do, and is in no other
// part of the request or the answer.
func TestUserInURLIsSentAsBasicAuthorization(t *testing.T) {
	t.Parallel()
	e := newParrot(t)
	c := newClient(t, effect.ClientOptions{})
	for i, row := range []struct {
		user    string
		headers [][]string
		want    string
	}{
		{"ann:p%40ss:w%2Frd", nil, "ann:p@ss:w/rd"},
		{"ann", nil, "ann:"},
		{"ann:pw", [][]string{{"authorization", "Basic Ym9iOngx"}}, "bob:x1"},
	} {
		r := perform(t, c, call("", "url", strings.Replace(e.URL, "//", "//"+row.user+"@", 1)+"/x", "headers", row.headers))
		if r.Outcome != effect.Answered || strings.Contains(string(r.Answer.Head), "ann") {
			t.Fatalf("%s: %s %s", row.user, r.Text, r.Answer.Head)
		}
		user, password, _ := e.seen[i].BasicAuth()
		if got := user + ":" + password; got != row.want || strings.Contains(e.seen[i].RequestURI, "ann") || strings.Contains(e.seen[i].Host, "ann") {
			t.Errorf("%s: sent as %q, want %q", row.user, got, row.want)
		}
	}
}
