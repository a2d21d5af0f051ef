package source

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// TestDivergencesGetTheirLines: each side from its own module, from the workflow to the call. What a module does not have is left out.
func TestDivergencesGetTheirLines(t *testing.T) {
	t.Parallel()
	read := 0
	r := NewReader(func(_ context.Context, digest string) ([]byte, error) {
		read++
		text := map[string]string{"old": "one\n  old two  \nold three\n", "new": "one\nnew two\nnew three"}[digest]
		if text == "" {
			return nil, flawless.NotFound
		}
		with, _, err := Add(empty, map[string][]byte{"shop/main.go": []byte(text)})
		return with, err
	})
	head := func(at string) []byte { return []byte(`{"at":"` + at + `"}`) }
	d := &flawless.Divergence{
		Logged: &flawless.Call{Head: head("shop/main.go:3"), Via: "shop/main.go:2"},
		Asked:  &flawless.Call{Head: head("shop/main.go:3")},
	}
	r.Explain(t.Context(), d, "old", "new")
	if diff := cmp.Diff([]flawless.SourceLine{{Site: "shop/main.go:2", Text: "old two"}, {Site: "shop/main.go:3", Text: "old three"}}, d.LoggedLines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]flawless.SourceLine{{Site: "shop/main.go:3", Text: "new three"}}, d.AskedLines); diff != "" {
		t.Error(diff)
	}
	r.Explain(t.Context(), d, "new", "old")
	if d.AskedLines[0].Text != "old three" || read != 2 {
		t.Errorf("the other way round: %+v, after %d readings", d.AskedLines, read)
	}
	for _, call := range []flawless.Call{{Head: head("shop/other.go:1")}, {Head: head("shop/main.go:9")}, {Head: head("nothing")}, {}} {
		d := &flawless.Divergence{Logged: &call}
		if r.Explain(t.Context(), d, "old", "old"); d.LoggedLines != nil {
			t.Errorf("%s has %+v", call.Head, d.LoggedLines)
		}
	}
	d = &flawless.Divergence{Asked: &flawless.Call{Head: head("shop/main.go:1")}}
	if r.Explain(t.Context(), d, "gone", "gone"); d.AskedLines != nil {
		t.Errorf("a module that there is not has %+v", d.AskedLines)
	}
	r.Explain(t.Context(), nil, "old", "new")
}
