package flawless

import (
	"fmt"
	"slices"
	"strings"
)

// Step is a step of a saga. It is open from the moment when it is taken until it is undone or its saga succeeds.
type Step struct {
	N    int    `json:"n" cbor:"1,keyasint"`                        // 1, 2, 3 within the run
	Name string `json:"name,omitempty" cbor:"2,keyasint,omitempty"` // "" if it is no longer open
}

// MaxStep is the maximum length of the name of a step in bytes.
const MaxStep = 200

// OpenSteps returns the steps that are open after changes, oldest first. It changes neither argument.
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

// NotUndone lists steps that were taken and not undone when a run ended, newest first. It returns "" if there are
// none.
func NotUndone(open []Step) string {
	const maxNames = 50
	if len(open) == 0 {
		return ""
	}
	var names []string
	for _, s := range slices.Backward(open) {
		if len(names) == maxNames {
			return fmt.Sprintf("not undone: %s and %d more", strings.Join(names, ", "), len(open)-maxNames)
		}
		names = append(names, s.Name)
	}
	return "not undone: " + strings.Join(names, ", ")
}

// WithOpenSteps returns the failure with the steps that are left open added to its message.
func (f Failure) WithOpenSteps(open []Step) Failure {
	if left := NotUndone(open); left != "" {
		f.Message = strings.TrimPrefix(f.Message+"; "+left, "; ")
	}
	return f
}

// ReportOpenSteps adds the steps that are left open to the failure of an end, and returns a log line that names them. A run
// that completes can leave steps open if one of its goroutines or tasks was in the middle of a saga.
func ReportOpenSteps(end *Ended, open []Step) []Line {
	if len(open) == 0 {
		return nil
	}
	level := "warn"
	if end.Failure != nil {
		f := end.Failure.WithOpenSteps(open)
		level, end.Failure = "error", &f
	}
	return []Line{{Level: level, Text: NotUndone(open)}}
}
