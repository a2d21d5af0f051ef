package admin

import (
	"net/http"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
)

func stateRoutes() []Route {
	return []Route{
		{"GET /state", states},
		{"GET /state/{name}", state},
	}
}

// states lists the values that runs share.
func states(v *Visit) error {
	from := v.R.URL.Query().Get("from")
	all, next, err := v.Client.States(v.ctx(), from, 200)
	if err != nil {
		return err
	}
	v.Show(http.StatusOK, "states.html", Page{Title: "State", Here: "/state", Data: map[string]any{"States": all, "Next": next, "From": from,
		"Circles": circles(all), "Commands": []string{"flawless state list"}}})
	return nil
}

// knot is a run that holds one state and waits for another.
type knot struct{ Run, Holds, Waits string }

// circles returns the runs that wait for each other in a circle. The engine resolves each by failing one of the calls, so it is
// seen for a moment at most; one that stays is worth knowing.
func circles(states []flawless.State) (out [][]knot) {
	held, wants := map[string]string{}, map[string]string{} // state by its holder; state that a run waits for
	holder := map[string]string{}
	for _, s := range states {
		if s.Holder != nil {
			held[s.Holder.Run], holder[s.Name] = s.Name, s.Holder.Run
		}
		for _, c := range s.Queue {
			wants[c.Run] = s.Name
		}
	}
	seen := map[string]bool{}
	for _, s := range states {
		if s.Holder == nil || seen[s.Holder.Run] {
			continue
		}
		var way []knot
		for run := s.Holder.Run; run != ""; run = holder[wants[run]] {
			if i := slices.IndexFunc(way, func(k knot) bool { return k.Run == run }); i >= 0 {
				out = append(out, way[i:])
				break
			}
			if seen[run] {
				break // it leads to what was looked at before
			}
			seen[run] = true
			way = append(way, knot{run, held[run], wants[run]})
		}
	}
	// A run may hold several states: the one that the next in the circle waits for is meant.
	for _, circle := range out {
		for i := range circle {
			circle[i].Holds = circle[(i+len(circle)-1)%len(circle)].Waits
		}
	}
	return out
}

// claimRow is a run that holds a state or waits for it.
type claimRow struct {
	flawless.Claim
	Run   *flawless.Run // nil if it cannot be read
	Since *time.Time
}

// maxClaims is for how many waiting runs details are read.
const maxClaims = 50

// state shows one value, who holds it and who waits for it.
func state(v *Visit) error {
	s, err := v.Client.State(v.ctx(), v.R.PathValue("name"))
	if err != nil {
		return err
	}
	row := func(claim flawless.Claim) claimRow {
		out := claimRow{Claim: claim}
		if r, err := v.Client.Run(v.ctx(), claim.Run, false); err == nil {
			out.Run = &r
			if r.Waiting != nil && r.Waiting.Kind == flawless.WaitState {
				out.Since = r.Waiting.Since
			}
		}
		return out
	}
	d := map[string]any{"State": s, "More": max(0, len(s.Queue)-maxClaims), "Commands": []string{form.Shell("flawless", "state", "show", s.Name)}}
	if s.Holder != nil {
		d["Holder"] = row(*s.Holder)
	}
	var queue []claimRow
	for _, claim := range s.Queue[:min(len(s.Queue), maxClaims)] {
		queue = append(queue, row(claim))
	}
	d["Queue"] = queue
	v.Show(http.StatusOK, "state.html", Page{Title: s.Name, Here: "/state", Data: d})
	return nil
}
