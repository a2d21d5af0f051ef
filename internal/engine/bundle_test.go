package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestBundleReplaysOnAnotherServer(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	in := map[string]any{"url": out.URL, "dead": deadURL, "n": 7}
	mustStart(t, e, "everything", in, "run")
	run := mustEnd(t, e, "run")
	own, err := e.Replay(t.Context(), "run", nil)
	if err != nil || own.Divergence != nil {
		t.Fatalf("%+v, %v", own, err)
	}
	exported, err := bundled(e.Export(t.Context(), "run", Export{}))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := bundle.Write(&file, exported); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	again, err := replay.Run(t.Context(), fixture().module, "run", replay.Records(b.Log), replay.Options{})
	if err != nil || again.Divergence != nil || again.Hash != own.Hash {
		t.Errorf("replayed from the file: %+v %v, %v; want hash %s", again, again.Divergence, err, own.Hash)
	}
	other := open(t, mem.New(), Options{})
	for _, id := range []string{"", "other"} {
		r, err := other.Import(t.Context(), b, id)
		if err != nil || r.Status != run.Status || !bytes.Equal(r.Output, run.Output) {
			t.Fatalf("imported it is %+v, %v", r, err)
		}
		got, err := other.Replay(t.Context(), r.ID, nil)
		if err != nil || got.Divergence != nil || got.Hash != own.Hash {
			t.Errorf("imported as %q: %+v %v, %v", id, got, got.Divergence, err)
		}
		if d, err := other.Data(t.Context(), r.ID); err != nil || string(d) != `{"after":"all"}` {
			t.Errorf("imported as %q its data are %s, %v", id, d, err)
		}
	}
	if _, err := other.Import(t.Context(), b, ""); !errors.Is(err, flawless.Conflict) {
		t.Errorf("imported twice: %v", err)
	}
}

func TestImportedRunNeverContinues(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	held, seen := make(chan struct{}), make(chan struct{}, 10)
	out.delay = func(string) { seen <- struct{}{}; <-held }
	defer close(held)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "script", map[string]any{"url": out.URL, "steps": []any{map[string]any{"put": "/put"}}}, "run")
	<-seen
	b, err := bundled(e.Export(t.Context(), "run", Export{LogOnly: true}))
	if err != nil {
		t.Fatal(err)
	}
	db := mem.New()
	other := open(t, db, Options{})
	r, err := other.Import(t.Context(), b, "copy")
	if err != nil || r.Status != flawless.Terminated || r.Failure.Kind != "imported" {
		t.Fatalf("it is %+v, %v", r, err)
	}
	if _, err := other.Cancel(t.Context(), "copy", flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("cancelling it: %v", err)
	}
	other.Kill()
	other = open(t, db, Options{})
	if r, err := other.Run(t.Context(), "copy"); err != nil || r.Status != flawless.Terminated {
		t.Errorf("after a restart it is %+v, %v", r, err)
	}
	other.Kill()
	if n := out.count("/put"); n != 1 {
		t.Errorf("the outside saw %d requests", n)
	}
}

func TestRedactedBundleReplays(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		mustStart(t, e, "script", map[string]any{"url": "http://outside.test", "steps": []any{map[string]any{"post": "/a", "data": 7}}}, "run")
		if _, err := e.Wait(context.Background(), "run"); err != nil {
			t.Fatal(err)
		}
		b, err := bundled(e.Export(context.Background(), "run", Export{Redact: []string{"$.steps[*].data", "[0]"}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Log[0].Entries[0].Start.Input; !bytes.Contains(got, []byte(`"data":0`)) {
			t.Errorf("the input is %s", got)
		}
		r, err := redact.NewRedaction(b.Manifest.Redacted)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replay.Run(context.Background(), fixture().module, "run", replay.Records(b.Log), replay.Options{Redact: &r})
		if err != nil || got.Divergence != nil {
			t.Errorf("%+v %v, %v", got, got.Divergence, err)
		}

		there := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer there.Kill()
		if _, err := there.Import(context.Background(), b, "copy"); err != nil {
			t.Fatal(err)
		}
		if got, err := there.Replay(context.Background(), "copy", nil); err != nil || got.Divergence != nil || got.Calls == 0 {
			t.Errorf("imported: %+v %v, %v", got, got.Divergence, err)
		}
		if _, err := there.Fork(context.Background(), "copy", Fork{Turn: 1}); !errors.Is(err, flawless.Refused) {
			t.Errorf("a fork for real: %v", err)
		}
		if _, err := there.Offline(context.Background(), "copy", Fork{Turn: 1}); err != nil {
			t.Errorf("a fork with the world closed: %v", err)
		}
		again, err := bundled(there.Export(context.Background(), "copy", Export{Redact: []string{"..other"}}))
		named := slices.DeleteFunc(slices.Clone(again.Manifest.Redacted), func(p string) bool { return redact.Own([]string{p}) })
		if want := []string{"$.steps[*].data", "[0]", "..other"}; err != nil || !slices.Equal(named, want) {
			t.Errorf("exported again it says that %v was taken out, %v", again.Manifest.Redacted, err)
		}
		time.Sleep(time.Second)
	})
}

func TestBundleWithoutHeadersAndParametersReplays(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	steps := []any{map[string]any{"post": "/a?b=1&key=4711"}, map[string]any{"put": "/c?key=4711"}}
	mustStart(t, e, "script", map[string]any{"url": out.URL, "steps": steps}, "run")
	if r := mustEnd(t, e, "run"); r.Status != flawless.Completed {
		t.Fatalf("it is %+v", r)
	}
	whole, err := bundled(e.Export(t.Context(), "run", Export{LogOnly: true}))
	if err != nil {
		t.Fatal(err)
	}
	less, err := bundled(e.Export(t.Context(), "run", Export{LogOnly: true, Redact: []string{"header:content-type", "query:key"}}))
	if err != nil {
		t.Fatal(err)
	}
	text := func(b bundle.Bundle) string {
		out, err := json.Marshal([]any{b.Log, b.Manifest})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, secret := range []string{"4711", "text/plain"} {
		if !strings.Contains(text(whole), secret) || strings.Contains(text(less), secret) {
			t.Errorf("%s was in it: %v, and is: %v", secret, strings.Contains(text(whole), secret), strings.Contains(text(less), secret))
		}
	}
	r, err := redact.NewRedaction(less.Manifest.Redacted)
	if err != nil {
		t.Fatal(err)
	}
	got, err := replay.Run(t.Context(), fixture().module, "run", replay.Records(less.Log), replay.Options{Redact: &r})
	if err != nil || got.Divergence != nil || got.Calls == 0 {
		t.Errorf("%+v %v, %v", got, got.Divergence, err)
	}
}

// bundled is a bundle as it is read again.
func bundled(x bundle.Export, err error) (bundle.Bundle, error) {
	if err != nil {
		return bundle.Bundle{}, err
	}
	return x.Bundle()
}
