package core

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestFitLabelsDropsRemovalsOfUnknownLabels(t *testing.T) {
	t.Parallel()
	turn := flawless.Turn{Labels: map[string]string{"there": "", "new": "x"}}
	for i := range 1000 {
		turn.Labels[fmt.Sprint("none", i)] = ""
	}
	FitLabels(map[string]string{"there": "x", "other": "x"}, &turn)
	if got := fmt.Sprint(turn.Labels); got != "map[new:x there:]" || len(turn.Lines) != 0 {
		t.Errorf("what is kept of the turn is %s, with %d lines", got, len(turn.Lines))
	}
}
