package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// kin is a run among its children.
type kin struct {
	flawless.Run
	Children []kin `json:"children,omitempty"`
}

const (
	mostKin  = 20 // children of one run in a tree
	mostDeep = 4  // generations in a tree
)

// children returns the runs that a run has spawned, those that are of interest first: by how far they
// are from being completed, then by age. Only those that are shown have theirs.
func children(ctx context.Context, cl *client.Client, id string, deep int) ([]kin, error) {
	var all []kin
	for r, err := range cl.All(ctx, flawless.Filter{Parent: id, Limit: 1000}) {
		if err != nil {
			return nil, err
		}
		all = append(all, kin{Run: r})
	}
	slices.Reverse(all) // oldest first
	slices.SortStableFunc(all, func(a, b kin) int { return urgency(a.Status) - urgency(b.Status) })
	for i := range all[:min(len(all), mostKin)] {
		if deep < mostDeep && all[i].Calls > 0 {
			var err error
			if all[i].Children, err = children(ctx, cl, all[i].ID, deep+1); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func urgency(s flawless.Status) int {
	switch s {
	case flawless.Unresolved:
		return 0
	case flawless.Failed, flawless.Terminated:
		return 1
	case flawless.Completed:
		return 4
	case flawless.Cancelled:
		return 3
	}
	return 2
}

// tree prints children, each with its own below it.
func tree(w io.Writer, all []kin, indent string) {
	shown := all[:min(len(all), mostKin)]
	rest := all[len(shown):]
	for i, k := range shown {
		branch, below := "├─ ", "│  "
		if i == len(shown)-1 && len(rest) == 0 {
			branch, below = "└─ ", "   "
		}
		text := detail(k.Run)
		if text != "" {
			text = "  " + text
		}
		fmt.Fprintf(w, "%s%s%s  %s/%s  %s%s\n", indent, branch, k.ID, k.Module, k.Workflow, k.Status, text)
		tree(w, k.Children, indent+below)
	}
	if len(rest) > 0 {
		fmt.Fprintf(w, "%s└─ and %d more: %s\n", indent, len(rest), census(rest))
	}
}

// census counts runs by what they are.
func census(all []kin) string {
	n := map[flawless.Status]int{}
	for _, k := range all {
		n[k.Status]++
	}
	var parts []string
	for _, s := range flawless.Statuses {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// fewer leaves calls out of a long list: those that are over, but for the newest.
func fewer(calls []fate) (shown []fate, left int) {
	const most, newest = 60, 20
	if len(calls) <= most {
		return calls, 0
	}
	for i, c := range calls {
		if i >= len(calls)-newest || c.State != "delivered" && len(shown) < most-newest {
			shown = append(shown, c)
		}
	}
	return shown, len(calls) - len(shown)
}
