package redact

import (
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestRedactionByPath(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, path, in, want string }{
		{"a member", "$.card.number", `{"card":{"number":"4711","name":"A"}}`, `{"card":{"name":"A","number":"redacted"}}`},
		{"without the beginning", "card", `{"card":12.50}`, `{"card":0}`},
		{"all of a list", "items[*].price", `{"items":[{"price":1},{"price":2}]}`, `{"items":[{"price":0},{"price":0}]}`},
		{"one of a list", "[1]", `["a","b"]`, `["a","redacted"]`},
		{"at any depth", "..token", `{"a":[{"token":"x"}],"token":true}`, `{"a":[{"token":"redacted"}],"token":false}`},
		{"any member", "*.id", `{"a":{"id":"1"},"b":{"id":"<"}}`, `{"a":{"id":"redacted"},"b":{"id":"redacted"}}`},
		{"the shape stays", "a", `{"a":{"b":[1,"x",null]}}`, `{"a":{"b":[0,"redacted",null]}}`},
		{"nothing there", "b", `{ "a": "<" }`, `{ "a": "<" }`},
		{"no JSON", "a", `a=b`, `a=b`},
	} {
		r, err := NewRedaction([]string{row.path})
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if got := string(r.JSON([]byte(row.in))); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	for _, bad := range []string{"", "$", "a..", "a[", "a[x]", "a[-1]", ".", "header:", "query:"} {
		if _, err := NewRedaction([]string{bad}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("path %q: %v", bad, err)
		}
	}
}

func TestRedactionByHeaderAndParameterName(t *testing.T) {
	t.Parallel()
	r, err := NewRedaction([]string{"header:authorization", "query:key", "query:a b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, in, want string }{
		{"a header", `{"headers":[["Authorization","Bearer x"],["Accept","*/*"]],"status":200}`, `{"headers":[["Authorization","redacted"],["Accept","*/*"]],"status":200}`},
		{"one that comes twice", `{"headers":[["authorization","x"],["AUTHORIZATION","y"]]}`, `{"headers":[["authorization","redacted"],["AUTHORIZATION","redacted"]]}`},
		{"a parameter", `{"url":"https://x.test/a?b=1&key=4711&c=2#key"}`, `{"url":"https://x.test/a?b=1&key=redacted&c=2#key"}`},
		{"one in the fragment", `{"url":"https://x.test/?key=1#KEY=2"} https://x.test/#a=1&%6bey=2`, `{"url":"https://x.test/?key=redacted#KEY=redacted"} https://x.test/#a=1&%6bey=redacted`},
		{"one that is escaped", `{"url":"https://x.test/?a+b=1\u0026key=2"}`, `{"url":"https://x.test/?a+b=redacted\u0026key=redacted"}`},
		{"a longer name", `{"url":"https://x.test/?monkey=1"}`, `{"url":"https://x.test/?monkey=1"}`},
		{"no head", `?key=1`, `?key=redacted`},
	} {
		if got := string(r.Head([]byte(row.in))); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if got, want := string(r.JSON([]byte(`{"see":"http://x.test/?key=1"}`))), `{"see":"http://x.test/?key=redacted"}`; got != want {
		t.Errorf("JSON became %s, want %s", got, want)
	}
}

func FuzzRedaction(f *testing.F) {
	f.Add("$.a[*].b", []byte(`{"a":[{"b":1}]}`))
	f.Add("..x", []byte(`[[{"x":{}}]]`))
	f.Fuzz(func(_ *testing.T, path string, text []byte) {
		if r, err := NewRedaction([]string{path}); err == nil {
			r.JSON(text)
		}
	})
}
