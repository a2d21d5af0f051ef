package examples

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// TestTravelStaysConsistentUnderFailures lets each service fail at each step: before and after booking, and during a
// cancellation.
func TestTravelStaysConsistentUnderFailures(t *testing.T) {
	t.Parallel()
	bin := build(t, "travel")
	e := open(t, "travel", bin, real())
	for _, service := range []string{"none", "flights", "hotels", "cars"} {
		for _, how := range []string{"refuses", "books and refuses", "books and says nothing the first time", "takes back at the third try"} {
			t.Run(service+" "+how, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				booked, tries := map[string]bool{}, map[string]int{}
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					mu.Lock()
					defer mu.Unlock()
					which := strings.Split(r.URL.Path, "/")[1]
					tries[r.Method+which]++
					if r.Method == http.MethodDelete {
						if which != "cars" && how == "takes back at the third try" && tries[r.Method+which] < 3 {
							w.WriteHeader(http.StatusConflict)
							return
						}
						delete(booked, which)
						return
					}
					fails := which == service
					if fails && how == "takes back at the third try" {
						w.WriteHeader(http.StatusConflict)
						return
					}
					if !fails || how != "refuses" {
						booked[which] = true
					}
					switch {
					case fails && how == "books and says nothing the first time" && tries[r.Method+which] == 1:
						panic(http.ErrAbortHandler)
					case fails && how != "books and says nothing the first time":
						w.WriteHeader(http.StatusConflict)
						return
					}
					fmt.Fprint(w, "booked-"+which)
				}))
				defer s.Close()
				in, _ := json.Marshal(map[string]string{"id": "t", "to": "Lisbon", "services": s.URL})
				r, _, err := e.Start(t.Context(), engine.Start{Module: "travel", Workflow: "travel", Input: in})
				if err == nil {
					r, err = e.Wait(t.Context(), r.ID)
				}
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				defer mu.Unlock()
				all := r.Status == flawless.Completed && len(booked) == 3
				none := r.Status == flawless.Failed && len(booked) == 0
				if !all && !none {
					t.Errorf("it is %s: %+v, there are %v", r.Status, r.Failure, booked)
				}
				if wanted := service == "none" || how == "books and says nothing the first time"; all != wanted {
					t.Errorf("it is %s: %+v", r.Status, r.Failure)
				}
			})
		}
	}
}
