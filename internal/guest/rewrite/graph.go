package rewrite

// What a function has to count by itself depends on what it calls and is called by. The counters have to
// see each way that goes on for ever: each loop, and each circle of calls. A function that has neither is
// light, as long as it is small: it counts nothing by itself, and whoever calls it counts it in. Whoever
// calls it through a table cannot: so one that may be called so, and from which a call leads to a function
// that counts, takes part in counting the stack. Otherwise it would be on a circle with frames that nobody
// has counted.

const (
	mostLight = 1000 // instructions of a light function, with those it calls
	mostDeep  = 100  // its share of the stack, with theirs

	throughTable = 50 // instructions that a call through a table counts for what a light function does there
)

// graph is all functions of a module with their calls.
type graph struct {
	m     *module
	funcs []*found
	light []bool
	leads []bool  // of light functions: a call leads to one that is not
	cost  []int64 // of light functions: instructions, with those of the light functions they call
	deep  []int64 // and their share of the stack
}

// share returns how many calls a function counts as: its frame holds its locals and what is on the stack,
// and grows with the code.
func (f *found) share() int64 { return 1 + (int64(f.locals)+int64(f.most)+f.all/8)/16 }

// callee returns the place among the functions of what a site calls.
func (g *graph) callee(s site) int { return int(s.fn) - len(g.m.imports) }

// lighten finds out which functions are light.
func (g *graph) lighten() {
	n := len(g.funcs)
	g.light, g.leads, g.cost, g.deep = make([]bool, n), make([]bool, n), make([]int64, n), make([]int64, n)
	for k, f := range g.funcs {
		g.light[k] = !f.loops && !f.indirect
	}
	// Callees come before their callers, but for calls that close a circle: what these call is not light.
	for _, k := range g.order() {
		if !g.light[k] {
			continue
		}
		f := g.funcs[k]
		cost, deep := f.all, int64(0)
		for _, s := range f.sites {
			c := g.callee(s)
			if g.light[c] {
				cost, deep = min(cost+g.cost[c], mostLight+1), max(deep, g.below(c))
			}
			g.leads[k] = g.leads[k] || !g.light[c] || g.leads[c]
		}
		g.cost[k], g.deep[k] = cost, deep+f.share()
		g.light[k] = cost <= mostLight && g.deep[k] <= mostDeep
	}
}

// order returns the functions that may be light so that each comes behind those that it calls. A function
// that is called from within itself stops being one that may be light.
func (g *graph) order() []int {
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(g.funcs))
	next := make([]int, len(g.funcs)) // the site to look at
	var order, path []int
	for k := range g.funcs {
		if !g.light[k] || state[k] != unseen {
			continue
		}
		for path = append(path, k); len(path) > 0; {
			k := path[len(path)-1]
			state[k] = open
			if sites := g.funcs[k].sites; next[k] < len(sites) {
				c := g.callee(sites[next[k]])
				next[k]++
				switch {
				case !g.light[c]:
				case state[c] == unseen:
					path = append(path, c)
				case state[c] == open:
					g.light[c] = false
				}
				continue
			}
			state[k] = done
			order, path = append(order, k), path[:len(path)-1]
		}
	}
	return order
}

// below is the share of the stack that is counted for a light function by whoever calls it.
func (g *graph) below(k int) int64 {
	if g.sinks(k) {
		return 0
	}
	return g.deep[k]
}

// sinks tells whether a light function has to count its share of the stack.
func (g *graph) sinks(k int) bool {
	fn := k + len(g.m.imports)
	return g.leads[k] && fn < len(g.m.declared) && g.m.declared[fn]
}

// charge adds what the light functions cost that a function calls to its own costs, and returns the share
// of the stack that it has to count.
func (g *graph) charge(k int) (share int64) {
	f := g.funcs[k]
	deep := int64(0)
	for _, s := range f.sites {
		if c := g.callee(s); g.light[c] {
			f.costs[s.cost] += g.cost[c]
			deep = max(deep, g.below(c))
		}
	}
	return f.share() + deep
}

// dampened is what is charged for so many instructions: where there are many, most are not run each time.
func dampened(cost int64) int64 {
	const full, rest = 100, 16
	if cost <= full {
		return cost
	}
	return full + (cost-full)/rest
}
