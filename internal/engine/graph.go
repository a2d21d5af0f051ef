package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
)

// graph knows which run holds which state, and which runs wait for which: what is needed to see that
// runs would wait for each other for ever. The zero value is empty; it may be used concurrently.
type graph struct {
	mu      sync.Mutex
	holder  map[string]string   // by state: a run
	waiting map[string][]string // by run: states, one as often as it is waited for
	held    map[string][]string // by run: states
}

// holds notes who holds a state; nil is nobody.
func (g *graph) holds(name string, by *flawless.Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == nil {
		g.holder, g.waiting, g.held = map[string]string{}, map[string][]string{}, map[string][]string{}
	}
	if was, ok := g.holder[name]; ok {
		drop(g.held, was, name)
		delete(g.holder, name)
	}
	if by != nil {
		g.holder[name] = by.Run
		g.held[by.Run] = append(g.held[by.Run], name)
	}
}

// wait notes that a run waits for a state, unless it would wait for itself in the end: then it
// returns in words who waits for whom.
func (g *graph) wait(name, run string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := map[string]bool{}
	var walk func(name, path string) string
	walk = func(name, path string) string {
		holder, ok := g.holder[name]
		if !ok || seen[name] {
			return ""
		}
		seen[name] = true
		path += fmt.Sprintf(", which run %s holds", holder)
		if holder == run {
			return path
		}
		for _, next := range g.waiting[holder] {
			if found := walk(next, path+fmt.Sprintf(", which waits for state %q", next)); found != "" {
				return found
			}
		}
		return ""
	}
	if circle := walk(name, fmt.Sprintf("run %s waits for state %q", run, name)); circle != "" {
		return circle
	}
	g.waiting[run] = append(g.waiting[run], name)
	return ""
}

// unwait takes back one wait.
func (g *graph) unwait(name, run string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	drop(g.waiting, run, name)
}

// of returns the states that a run holds or waits for.
func (g *graph) of(run string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := append(slices.Clone(g.held[run]), g.waiting[run]...)
	slices.Sort(all)
	return slices.Compact(all)
}

// drop takes one value out of a list, and the list out of the map when it is empty.
func drop(m map[string][]string, key, value string) {
	if i := slices.Index(m[key], value); i >= 0 {
		m[key] = slices.Delete(m[key], i, i+1)
	}
	if len(m[key]) == 0 {
		delete(m, key)
	}
}
