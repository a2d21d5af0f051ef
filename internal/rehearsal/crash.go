package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/value"
)

// Report is the result of crashing a workflow at every write.
type Report struct {
	Result  Result  `json:"result"`  // of the uninterrupted run
	Writes  int     `json:"writes"`  // writes of the uninterrupted run
	Trials  int     `json:"trials"`  // attempts to crash it, before and after each write
	Crashes int     `json:"crashes"` // trials that crashed; in the others the run made fewer writes
	Asked   int     `json:"asked"`   // decisions needed after a crash, made according to what the simulated server saw
	Faults  []Fault `json:"faults"`  // differences caused by a crash
}

// Fault is a difference caused by a crash.
type Fault struct {
	Write int    `json:"write"` // number of the write at which the engine crashed
	After bool   `json:"after"` // after the write took effect rather than before
	Alive bool   `json:"alive"` // the run never made that write, so nothing crashed
	Text  string `json:"text"`
}

func (f Fault) String() string {
	if f.Alive {
		return fmt.Sprintf("not killed, as it made fewer than %d writes this time: %s", f.Write, f.Text)
	}
	when := "before"
	if f.After {
		when = "after"
	}
	return fmt.Sprintf("killed %s write %d: %s", when, f.Write, f.Text)
}

// CrashEverywhere runs the workflow to its end, and then repeats it with a crash before and after each of its writes,
// continuing with a new engine on the remaining data. It compares the requests and the end of each run with those of
// the uninterrupted one. progress is called after each run, unless it is nil.
func CrashEverywhere(ctx context.Context, o Options, progress func(done, all int)) (Report, error) {
	s, err := newStage(ctx, o)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	rep := Report{Faults: []Fault{}}
	kv := &mortal{KV: s.db.Clone()}
	l, err := s.life(kv)
	if err != nil {
		return rep, err
	}
	err = l.play(ctx)
	if err == nil {
		rep.Result, err = l.result(ctx)
	}
	l.close()
	if err != nil {
		return rep, err
	}
	rep.Writes = kv.writes - 1 // the first write is the lease
	for n := range rep.Writes {
		for k, after := range []bool{false, true} {
			rep.Trials++
			before := rep.Crashes
			text, err := s.crash(ctx, &rep, &mortal{KV: s.db.Clone(), at: n + 2, after: after})
			f := Fault{n + 1, after, rep.Crashes == before, text}
			if err != nil {
				f.Text = "the run cannot continue"
				return rep, fmt.Errorf("%s: %w", f, err)
			}
			if text != "" {
				rep.Faults = append(rep.Faults, f)
			}
			if progress != nil {
				progress(2*n+k+1, 2*rep.Writes)
			}
		}
	}
	return rep, nil
}

// crash runs the workflow with one crash and returns the differences.
func (s *stage) crash(ctx context.Context, rep *Report, kv *mortal) (string, error) {
	first, err := s.life(kv)
	if err != nil {
		return "", err
	}
	defer first.outside.close()
	first.owned = false
	err = first.play(ctx)
	if err == nil { // it made fewer writes than the uninterrupted run
		got, err := first.result(ctx)
		first.close()
		return s.compare(rep, got), err
	}
	first.close()
	if !errors.Is(err, errDied) {
		return "", err
	}
	rep.Crashes++
	second, err := first.again(&mortal{KV: kv.KV})
	if err != nil {
		return "", err
	}
	defer second.close()
	if err := second.play(ctx); err != nil {
		return "", err
	}
	got, err := second.result(ctx)
	if err != nil {
		return "", err
	}
	for _, rec := range got.Log {
		for _, e := range rec.Entries {
			if e.Decision != nil {
				rep.Asked++
			}
		}
	}
	text := s.compare(rep, got)
	if cut := cutOff(got.Log); text != "" && len(cut) > len(cutOff(rep.Result.Log)) {
		text += fmt.Sprintf("; the crash has cut off the response that call %d streams, and the code got an error of kind broken, as after the crash of a server", cut[0])
	}
	return text, nil
}

// compare returns the difference to the uninterrupted run, or "".
func (s *stage) compare(rep *Report, got Result) string {
	want := rep.Result
	switch {
	case got.Run.Status != want.Run.Status:
		return fmt.Sprintf("the run is %s, it should be %s", endText(got.Run), endText(want.Run))
	case !value.SameJSON(got.Run.Output, want.Run.Output):
		return fmt.Sprintf("the output is %s, it should be %s", got.Run.Output, want.Run.Output)
	case got.Run.Failure != nil && want.Run.Failure != nil && got.Run.Failure.Message != want.Run.Failure.Message:
		return fmt.Sprintf("the run is %s, it should be %s", endText(got.Run), endText(want.Run))
	}
	return compareRequests(distinct(got), distinct(want))
}

// distinct returns the requests of a result without permitted repetitions.
func distinct(r Result) []string {
	repeatable := map[string]bool{}
	for _, rec := range r.Log {
		for _, e := range rec.Entries {
			if e.Turn == nil {
				continue
			}
			for _, c := range e.Turn.Calls {
				repeatable[runID+"-"+strconv.Itoa(c.N)] = idempotent(c)
			}
		}
	}
	seen := map[string]bool{}
	var out []string
	for _, q := range r.Requests {
		again := fmt.Sprint(q.Key, " ", q.Method, " ", q.URL)
		if q.Key != "" && seen[again] && repeatable[q.Key] {
			continue
		}
		seen[again] = true
		out = append(out, fmt.Sprint(q.Method, " ", q.URL, "\x00", q.Body))
	}
	slices.Sort(out)
	return out
}

func idempotent(c flawless.Call) bool {
	for _, k := range effect.Kinds(effect.Options{}) {
		if k.Name == c.Kind {
			p, err := k.Check(c)
			return err == nil && p.Idempotent
		}
	}
	return false
}

// compareRequests returns the first request that came more or less often than expected.
func compareRequests(got, want []string) string {
	count := map[string]int{}
	for _, q := range got {
		count[q]++
	}
	for _, q := range want {
		count[q]--
	}
	all := slices.Concat(got, want)
	slices.Sort(all)
	for _, q := range slices.Compact(all) {
		line, _, _ := strings.Cut(q, "\x00")
		switch n := count[q]; {
		case n > 0:
			return fmt.Sprintf("the request %s was sent too often (%d too many)", line, n)
		case n < 0:
			return fmt.Sprintf("the request %s was not sent (%d too few)", line, -n)
		}
	}
	return ""
}

func endText(r flawless.Run) string {
	if r.Failure != nil {
		return fmt.Sprintf("%s (%s: %s)", r.Status, r.Failure.Kind, r.Failure.Message)
	}
	return cmp.Or(string(r.Status), "nothing")
}
