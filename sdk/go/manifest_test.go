package flawless

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestManifest(t *testing.T) {
	t.Parallel()
	const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema"`
	r := &registry{}
	r.list = []workflow{
		{name: "a", doc: "Does \"a\".", in: reflect.TypeFor[int8](), out: reflect.TypeFor[any]()},
		{name: "b", in: reflect.TypeFor[any](), out: reflect.TypeFor[string]()},
	}
	want := `{"sdk":"go/` + Version + `","workflows":[{"name":"a","doc":"Does \"a\".","input":` + head + `,"type":"integer","minimum":-128,"maximum":127},"output":` + head +
		`}},{"name":"b","input":` + head + `},"output":` + head + `,"type":"string"}}],"hosts":[]}`
	if got := string(r.manifest()); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
	r.honour("api.example.com", 24*time.Hour)
	r.honour("*.example.com:8443", time.Nanosecond) // times are rounded up
	want = strings.TrimSuffix(want, "}") + `,"keys":[{"host":"api.example.com","within_ms":86400000},{"host":"*.example.com:8443","within_ms":1}]}`
	if got := string(r.manifest()); got != want {
		t.Errorf("with keys: got %s\nwant %s", got, want)
	}
	if _, err := r.find("c"); err == nil || !strings.Contains(err.Error(), "the module has a, b") {
		t.Errorf("find: %v", err)
	}
}
