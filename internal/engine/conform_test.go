package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// conformed is what a log says, without what may differ between languages: sites, how the JSON of a
// head is written, what was drawn at random, moments, and which turn a thing was in.
type conformed struct {
	Calls, Lines []string
	Data         []string
	Output       string
}

func conform(t *testing.T, log []flawless.Record) (c conformed) {
	t.Helper()
	for _, rec := range log {
		for _, e := range rec.Entries {
			if e.Turn == nil {
				continue
			}
			for _, call := range e.Turn.Calls {
				var head map[string]any
				if err := json.Unmarshal(call.Head, &head); err != nil {
					t.Fatal(err)
				}
				if site, _ := head["at"].(string); call.Kind != "cancelled" && site == "" {
					t.Errorf("call %d, %s, tells no site", call.N, call.Kind)
				}
				for _, name := range []string{"at", "secret", "expires", "schema"} { // a schema describes a type of the language
					delete(head, name)
				}
				b, err := json.Marshal(head)
				if err != nil {
					t.Fatal(err)
				}
				c.Calls = append(c.Calls, fmt.Sprintf("%d %s %s %q", call.N, call.Kind, b, call.Body))
			}
			for _, l := range e.Turn.Lines {
				var fields any
				if len(l.Fields) > 0 {
					if err := json.Unmarshal(l.Fields, &fields); err != nil {
						t.Fatal(err)
					}
				}
				if l.Site == "" {
					t.Errorf("line %q tells no site", l.Text)
				}
				c.Lines = append(c.Lines, fmt.Sprintf("%s %q %v", l.Level, l.Text, fields))
			}
			if e.Turn.Data != nil {
				c.Data = append(c.Data, string(e.Turn.Data))
			}
			if e.Turn.Ended != nil {
				c.Output = fmt.Sprintf("%s %+v", e.Turn.Ended.Output, e.Turn.Ended.Failure)
			}
		}
	}
	return c
}

// TestSDKsConform runs a workflow that makes every kind of call with edge values, in each language,
// and compares the logs.
func TestSDKsConform(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	}))
	defer s.Close()
	logs := map[string]conformed{}
	for _, module := range []string{"guest", "beside", "beside-unknown"} {
		e := openRust(t, mem.New(), Options{})
		if _, _, err := e.Start(t.Context(), Start{Module: module, Workflow: "conform", Input: input(t, s.URL), ID: "conform"}); err != nil {
			t.Fatal(err)
		}
		if r := mustEnd(t, e, "conform"); r.Status != flawless.Completed {
			t.Errorf("%s: it is %+v %+v", module, r, r.Failure)
		}
		log, err := e.Log(t.Context(), "conform", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		logs[module] = conform(t, log)
	}
	for _, module := range []string{"beside", "beside-unknown"} {
		if d := cmp.Diff(logs["guest"], logs[module]); d != "" {
			t.Errorf("Go and %s differ (-Go +Rust):\n%s", module, d)
		}
	}
}
