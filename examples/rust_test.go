package examples

import (
	"encoding/json"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

func TestHelloRust(t *testing.T) {
	t.Parallel()
	bin, err := rusttest.Build("hello-rust", rusttest.WASI)
	rusttest.Check(t, err)
	e := open(t, "hello-rust", bin, real())
	r := run(t, e, "hello-rust", map[string]string{"name": "Ann"})
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
	m, err := e.Module(t.Context(), "hello-rust")
	if err != nil {
		t.Fatal(err)
	}
	if w := m[0].Workflow("hello-rust"); w == nil || w.Doc != "Greets somebody after a second." || len(w.Input) == 0 || len(w.Output) == 0 {
		t.Errorf("the manifest is %+v", m[0].Manifest)
	}
}
