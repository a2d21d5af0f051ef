package examples

import (
	"encoding/json"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestHelloTypeScript(t *testing.T) {
	t.Parallel()
	e := open(t, "hello-ts", build(t, "hello-ts"), real())
	r := run(t, e, "hello-ts", map[string]string{"name": "Ann"})
	var out struct {
		Greeting string
		At       int64
	}
	if err := json.Unmarshal(r.Output, &out); err != nil || r.Status != flawless.Completed || out.Greeting != "Hello, Ann!" {
		t.Fatalf("it is %+v %+v, %v", r, r.Failure, err)
	}
	if out.At < r.Created.UnixMilli()+1000 {
		t.Errorf("it greeted at %d, and began at %d", out.At, r.Created.UnixMilli())
	}
	m, err := e.Module(t.Context(), "hello-ts")
	if err != nil {
		t.Fatal(err)
	}
	if w := m[0].Workflow("hello-ts"); w == nil || w.Doc != "Greets somebody after a second." || len(w.Input) == 0 {
		t.Errorf("the manifest is %+v", m[0].Manifest)
	}
}
