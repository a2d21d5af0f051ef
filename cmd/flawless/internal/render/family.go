package render

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Child is a run in the tree of its family.
type Child struct {
	flawless.Run
	Children []Child `json:"children,omitempty"`
}

const (
	maxChildren = 20 // of one run in a tree
	maxDepth    = 4  // generations in a tree
)

// FamilyOf returns the children of a run, with their own children. list yields the children of a run, newest
// first. Runs that need attention come first, then the oldest. Only runs that [Family] shows have their own
// children.
func FamilyOf(id string, list func(parent string) iter.Seq2[flawless.Run, error]) ([]Child, error) {
	return generation(id, list, 1)
}

func generation(id string, list func(parent string) iter.Seq2[flawless.Run, error], depth int) ([]Child, error) {
	var all []Child
	for r, err := range list(id) {
		if err != nil {
			return nil, err
		}
		all = append(all, Child{Run: r})
	}
	slices.Reverse(all) // oldest first
	slices.SortStableFunc(all, func(a, b Child) int { return urgency(a.Status) - urgency(b.Status) })
	for i := range all[:min(len(all), maxChildren)] {
		if depth < maxDepth && all[i].Calls > 0 {
			var err error
			if all[i].Children, err = generation(all[i].ID, list, depth+1); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// urgency orders runs by how much they need attention; the smallest is the most urgent.
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

// Family prints the children of a run.
func Family(w io.Writer, all []Child) {
	noun := "children"
	if len(all) == 1 {
		noun = "child"
	}
	fmt.Fprintf(w, "\n%d %s: %s\n", len(all), noun, census(all))
	tree(w, all, "")
}

// tree prints runs, each with its children below it.
func tree(w io.Writer, all []Child, indent string) {
	shown := all[:min(len(all), maxChildren)]
	rest := all[len(shown):]
	for i, k := range shown {
		branch, below := "├─ ", "│  "
		if i == len(shown)-1 && len(rest) == 0 {
			branch, below = "└─ ", "   "
		}
		text := Detail(k.Run)
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

// census formats the number of runs in each status.
func census(all []Child) string {
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
