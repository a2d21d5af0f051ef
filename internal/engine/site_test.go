package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestCallsReportTheirSite: each call tells the line of the user's code that made it, however it went there.
func TestCallsReportTheirSite(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/guest/site.go")
	if err != nil {
		t.Fatal(err)
	}
	want, via := map[string]string{}, map[string]string{}
	mark := regexp.MustCompile(`// (site|via) ([0-9 ]+)$`)
	for n, line := range strings.Split(string(source), "\n") {
		if m := mark.FindStringSubmatch(line); m != nil {
			for _, call := range strings.Fields(m[2]) {
				map[string]map[string]string{"site": want, "via": via}[m[1]][call] = fmt.Sprint("guest/site.go:", n+1)
			}
		}
	}
	o := newOutside(t)
	e := open(t, mem.New(), Options{})
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "site", Input: input(t, o.URL), ID: "site"}); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, "site"); r.Status != flawless.Completed {
		t.Fatalf("it is %s: %+v", r.Status, r.Failure)
	}
	log, err := e.Log(t.Context(), "site", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range log {
		for _, entry := range rec.Entries {
			if entry.Turn == nil {
				continue
			}
			for _, c := range entry.Turn.Calls {
				var head struct{ At string }
				if err := json.Unmarshal(c.Head, &head); err != nil {
					t.Fatal(err)
				}
				call := fmt.Sprint(c.N)
				if head.At != want[call] {
					t.Errorf("call %s tells %q, it was made at %q", call, head.At, want[call])
				}
				if c.Via != via[call] {
					t.Errorf("call %s was made via %q, want %q", call, c.Via, via[call])
				}
				if path := strings.TrimPrefix(via[call]+" > "+want[call], " > "); call != "1" && c.Path() != path {
					t.Errorf("the path of call %s is %q, want %q", call, c.Path(), path)
				}
				delete(want, call)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("calls were not made: %v", want)
	}
}
