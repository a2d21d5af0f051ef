package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/flawless-engine/flawless"
)

// withLabels returns labels with changes applied. A change without a value removes the label. Neither map is modified.
func withLabels(labels, changes map[string]string) map[string]string {
	if len(changes) == 0 {
		return labels
	}
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	for name, value := range changes {
		if out[name] = value; value == "" {
			delete(out, name)
		}
	}
	return out
}

// FitLabels drops changes that remove labels which do not exist, so that a turn never has more changes than can be
// stored, and labels beyond the limit. It logs a line for each of the latter.
func FitLabels(labels map[string]string, t *flawless.Turn) {
	if len(t.Labels) == 0 {
		return
	}
	maps.DeleteFunc(t.Labels, func(name, value string) bool { return value == "" && labels[name] == "" })
	for _, name := range slices.Sorted(maps.Keys(t.Labels)) {
		after := withLabels(labels, t.Labels)
		if len(after) <= flawless.MaxLabels {
			return
		}
		if _, known := labels[name]; known || t.Labels[name] == "" {
			continue
		}
		delete(t.Labels, name)
		t.Lines = append(t.Lines, flawless.Line{Level: "error", Text: fmt.Sprintf("label %s was not set: a run has at most %d labels", name, flawless.MaxLabels)})
	}
}
