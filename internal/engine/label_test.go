package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func withLabel(t *testing.T, e *Engine, name, value string) string {
	t.Helper()
	runs, _, err := e.Runs(t.Context(), flawless.Filter{Labels: map[string]string{name: value}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestLabels(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{Freezing: Freezing{Turns: 1}})
		for id, n := range map[string]string{"few": "2", "many": "30"} {
			_, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "label", Input: []byte(n), ID: id, Labels: map[string]string{"given": "yes", "customer": id}})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := withLabel(t, e, "given", "yes"); got != "" {
			t.Errorf("a label that was removed is of %s", got)
		}
		if got := withLabel(t, e, "step", "first"); len(got) != len("few many") {
			t.Errorf("a label that was set is of %s", got)
		}
		e.Kill()
		e = open(t, kv, Options{})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		r := mustEnd(t, e, "few")
		if want := "map[customer:few n00:x n01:x step:second]"; fmt.Sprint(r.Labels) != want || string(r.Output) != "5" {
			t.Errorf("it ends with %v and %s, want %s", r.Labels, r.Output, want)
		}
		if got := withLabel(t, e, "customer", "few"); got != "few" {
			t.Errorf("the customer's run is %q", got)
		}
		r = mustEnd(t, e, "many")
		if len(r.Labels) != flawless.MaxLabels || r.Labels["customer"] != "many" || r.Labels["step"] != "second" {
			t.Errorf("it has %d labels: %v", len(r.Labels), r.Labels)
		}
		log, err := e.Log(t.Context(), "many", 0, 0)
		if text := string(input(t, log)); err != nil || strings.Count(text, "was not set: a run has at most 20 labels") != 12 {
			t.Errorf("the log does not say which were left out: %s %v", text, err)
		}
		if err := e.verify(t.Context(), "few"); err != nil {
			t.Errorf("the replay: %v", err)
		}
		e.Kill()
	})
}

func TestInvalidLabelsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	many := map[string]string{}
	for i := range flawless.MaxLabels + 1 {
		many[fmt.Sprint("n", i)] = "x"
	}
	for name, labels := range map[string]map[string]string{
		"a bad name": {"a b": "x"}, "no name": {"": "x"}, "no value": {"a": ""}, "a long value": {"a": strings.Repeat("x", 201)},
		"a long name": {strings.Repeat("a", 64): "x"}, "two lines": {"a": "b\nc"}, "bytes": {"a": "\xff"}, "too many": many,
	} {
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Labels: labels}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
