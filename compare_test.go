package flawless

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMismatchesOfCalls(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		a, b Call
		want []Mismatch
	}{
		{"how it is tried", Call{Kind: "http", Head: []byte(`{"url":"http://a/","timeout_ms":1000,"at":"x.go:1"}`)},
			Call{Kind: "http", Head: []byte(`{"retry":{"attempts":3},"url":"http://a/","method":null,"at":"x.go:9"}`)}, nil},
		{"address and headers", Call{Kind: "http", Head: []byte(`{"url":"http://a/","headers":[["Accept","x"],["X-A","1"],["X-A","2"]]}`)},
			Call{Kind: "http", Head: []byte(`{"url":"http://b/","headers":[["X-A","1"],["Accept","x"]],"method":"PUT"}`)},
			[]Mismatch{{"headers.X-A", `"1, 2"`, `"1"`}, {"method", "", `"PUT"`}, {"url", `"http://a/"`, `"http://b/"`}}},
		{"a member that nobody knows yet", Call{Kind: "http", Head: []byte(`{"url":"u","via":"proxy"}`)}, Call{Kind: "http", Head: []byte(`{"url":"u"}`)},
			[]Mismatch{{"via", `"proxy"`, ""}}},
		{"bodies of JSON", Call{Kind: "send", Head: []byte(`{}`), Body: []byte(`{"items":[{"n":1},{"n":2}],"to":"a"}`)},
			Call{Kind: "send", Head: []byte(`{}`), Body: []byte(`{"items":[{"n":1},{"n":3}],"by":"b"}`)},
			[]Mismatch{{"body.by", "", `"b"`}, {"body.items[1].n", "2", "3"}, {"body.to", `"a"`, ""}}},
		{"bodies that are spelled differently", Call{Kind: "send", Body: []byte(`{"a":1}`)}, Call{Kind: "send", Body: []byte(`{"a": 1}`)},
			[]Mismatch{{"body", `{"a":1}`, `{"a": 1}`}}},
		{"bodies of text", Call{Kind: "http", Head: []byte(`{}`), Body: []byte("a")}, Call{Kind: "http", Head: []byte(`{}`), Body: []byte("b")},
			[]Mismatch{{"body", "a", "b"}}},
		{"kinds", Call{Kind: "send"}, Call{Kind: "spawn"}, []Mismatch{{"kind", "send", "spawn"}}},
		{"heads that are no objects", Call{Kind: "http", Head: []byte(`[]`)}, Call{Kind: "http", Head: []byte(`{`)}, []Mismatch{{"head", `[]`, `{`}}},
	} {
		if d := cmp.Diff(row.want, row.a.Mismatches(row.b)); d != "" {
			t.Errorf("%s: %s", row.name, d)
		}
		if same := row.a.Same(row.b); same != (row.want == nil) {
			t.Errorf("%s: they are the same: %v", row.name, same)
		}
	}
}
