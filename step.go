package flawless

import (
	"fmt"
	"slices"
	"strings"
)

// Step is a step of a saga. It is open from the moment at which it is taken until it is undone or its saga
// has ended well.
type Step struct {
	N    int    `json:"n" cbor:"1,keyasint"`                        // 1, 2, 3 within the run
	Name string `json:"name,omitempty" cbor:"2,keyasint,omitempty"` // "" where it is not open any more
}

// MaxStep is how long the name of a step may be, in bytes.
const MaxStep = 200

// OpenSteps returns the steps that are open after changes, oldest first. Neither is changed.
func OpenSteps(open, changes []Step) []Step {
	if len(changes) == 0 {
		return open
	}
	out := slices.Clone(open)
	for _, c := range changes {
		at := slices.IndexFunc(out, func(s Step) bool { return s.N == c.N })
		switch {
		case at < 0 && c.Name != "":
			out = append(out, c)
		case at >= 0 && c.Name == "":
			out = slices.Delete(out, at, at+1)
		}
	}
	return out
}

// NotUndone says which steps of a run that has ended were taken and not undone, newest first. It is ""
// where there are none.
func NotUndone(open []Step) string {
	const most = 50
	if len(open) == 0 {
		return ""
	}
	var names []string
	for _, s := range slices.Backward(open) {
		if len(names) == most {
			return fmt.Sprintf("not undone: %s and %d more", strings.Join(names, ", "), len(open)-most)
		}
		names = append(names, s.Name)
	}
	return "not undone: " + strings.Join(names, ", ")
}

// Leaving returns the failure of a run that leaves open steps behind, which its message names.
func (f Failure) Leaving(open []Step) Failure {
	if left := NotUndone(open); left != "" {
		f.Message = strings.TrimPrefix(f.Message+"; "+left, "; ")
	}
	return f
}

// Leave says in the failure of an end, and in a line of the log, which open steps it leaves behind. A run
// that completes leaves some behind where a goroutine or task of it was in the middle of a saga.
func Leave(end *Ended, open []Step) []Line {
	if len(open) == 0 {
		return nil
	}
	level := "warn"
	if end.Failure != nil {
		f := end.Failure.Leaving(open)
		level, end.Failure = "error", &f
	}
	return []Line{{Level: level, Text: NotUndone(open)}}
}
