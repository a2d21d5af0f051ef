package web

import (
	"errors"
	"slices"
	"sort"

	"github.com/flawless-engine/flawless"
)

// evidence adds what is known about a call: how far it got, what was sent, where the code made it.
func (v *visit) evidence(d map[string]any, id string, call int) error {
	r, err := v.client.Run(v.ctx(), id, false)
	if errors.Is(err, flawless.NotFound) {
		d["Problem"] = sentence(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	d["Run"] = r
	if len(r.Unresolved) == 0 {
		return nil
	}
	x := r.Unresolved[max(0, slices.IndexFunc(r.Unresolved, func(x flawless.Doubt) bool { return x.Call == call }))]
	d["Doubt"], d["Call"] = x, x.Call
	d["Ref"] = doubt{Run: r, Doubt: x}.Ref()
	if r.Waiting != nil && r.Waiting.Call == x.Call {
		d["Site"] = r.Waiting.Site
	}
	d["Stages"], err = v.stages(r.ID, x)
	return err
}

// stage is how far a call got, as far as the log says.
type stage struct {
	flawless.Stage
	Known bool
	Note  string
}

// stages returns the stages of the last attempt of a call. Stages between known ones that the log lacks are not known.
//
// The log is read backwards: a run with an unknown outcome takes no turns, so what is asked for is near the end, and a log
// may have a hundred thousand records.
func (v *visit) stages(id string, x flawless.Doubt) ([]stage, error) {
	var begun, unknown int64
	var reached []flawless.Stage
	if x.Sent != nil {
		begun = x.Sent.Begun.UnixNano()
	}
	for rec, err := range v.logBackwards(id) {
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(rec.Entries) {
			switch {
			case begun != 0:
			case e.Turn != nil && slices.ContainsFunc(e.Turn.Calls, func(c flawless.Call) bool { return c.N == x.Call }),
				e.Attempt != nil && e.Attempt.Call == x.Call && e.Attempt.Begun:
				begun = e.At
			}
			if unknown == 0 && e.Unknown != nil && e.Unknown.Call == x.Call {
				reached, unknown = e.Unknown.Stages, e.At
			}
		}
		if begun != 0 && unknown != 0 {
			break
		}
	}
	all := []stage{{flawless.Stage{Name: "intended", At: begun}, begun != 0, "written to disk"}}
	for _, name := range []string{"connected", "sent"} {
		i := slices.IndexFunc(reached, func(s flawless.Stage) bool { return s.Name == name })
		if i >= 0 {
			all = append(all, stage{reached[i], true, ""})
		} else {
			all = append(all, stage{flawless.Stage{Name: name}, false, "not known"})
		}
	}
	return append(all, stage{flawless.Stage{Name: "unknown", At: unknown}, unknown != 0, "since then nobody knows"}), nil
}

// logBackwards yields the records of a run, the last one first. It stops after an error.
func (v *visit) logBackwards(id string) func(yield func(flawless.Record, error) bool) {
	return func(yield func(flawless.Record, error) bool) {
		end, err := v.logEnd(id)
		for size := uint64(16); end > 0 && err == nil; size = min(1000, 2*size) {
			from := end - min(end, size)
			var window []flawless.Record
			for next := from; next < end; { // a page may be shorter than its limit
				var page []flawless.Record
				if page, err = v.client.Log(v.ctx(), id, next, int(end-next)); err != nil || len(page) == 0 {
					break
				}
				window = append(window, page...)
				next = page[len(page)-1].Seq + 1
			}
			for _, rec := range slices.Backward(window) {
				if rec.Seq < end && !yield(rec, nil) {
					return
				}
			}
			end = from
		}
		if err != nil {
			yield(flawless.Record{}, err)
		}
	}
}

// logEnd returns the number after that of the last record of a run. It asks for single records.
func (v *visit) logEnd(id string) (uint64, error) {
	var failed error
	over := func(from int) bool {
		page, err := v.client.Log(v.ctx(), id, uint64(from), 1)
		if err != nil {
			failed = err
		}
		return failed != nil || len(page) == 0
	}
	top := 64
	for !over(top) {
		top *= 4
	}
	return uint64(sort.Search(top, over)), failed
}
