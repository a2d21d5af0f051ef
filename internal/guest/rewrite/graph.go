package rewrite

// The meter must see everything that can go on forever: each loop, and each cycle of calls. A small function with
// neither is light: it counts nothing, and its callers count it. An indirect caller cannot, because it does not know
// what it calls. So a light function counts its own share of the stack if it may be called indirectly and its calls
// lead to a function that is not light. Otherwise it could be part of a cycle with frames that are never counted.

const (
	maxLightCost  = 1000 // instructions of a light function and those that it calls
	maxLightShare = 100  // their share of the stack

	maxFrameCode = 1024 // instructions whose values may be in a frame at once

	indirectCost = 50 // instructions that an indirect call counts for the light function that it may call
)

// graph is the call graph of a module.
type graph struct {
	m     *module
	funcs []*found
	light []bool
	leads []bool  // of light functions: their calls lead to a function that is not light
	cost  []int64 // of light functions: instructions, including those of light functions that they call
	deep  []int64 // of light functions: share of the stack, likewise
}

// share returns how many calls a function counts as. Its frame holds its locals and operands, and grows with the code.
// But the code of a very large function, such as the main loop of an interpreter, is in arms that have no values in
// common.
func (f *found) share() int64 {
	return 1 + (int64(f.locals)+int64(f.operands)+min(f.all, maxFrameCode)/8)/16
}

// callee returns the index in funcs of the function that a site calls.
func (g *graph) callee(s site) int { return int(s.fn) - len(g.m.imports) }

// lighten determines which functions are light.
func (g *graph) lighten() {
	n := len(g.funcs)
	g.light, g.leads, g.cost, g.deep = make([]bool, n), make([]bool, n), make([]int64, n), make([]int64, n)
	for k, f := range g.funcs {
		g.light[k] = !f.loops && !f.indirect
	}
	// Callees come before their callers, except in cycles, where the callee is not light.
	for _, k := range g.order() {
		if !g.light[k] {
			continue
		}
		f := g.funcs[k]
		cost, deep := f.all, int64(0)
		for _, s := range f.sites {
			c := g.callee(s)
			if g.light[c] {
				cost, deep = min(cost+g.cost[c], maxLightCost+1), max(deep, g.below(c))
			}
			g.leads[k] = g.leads[k] || !g.light[c] || g.leads[c]
		}
		g.cost[k], g.deep[k] = cost, deep+f.share()
		g.light[k] = cost <= maxLightCost && g.deep[k] <= maxLightShare
	}
}

// order returns the functions that may be light, each after those that it calls. In a cycle, the function that is
// called while it is on the path cannot be light.
func (g *graph) order() []int {
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(g.funcs))
	next := make([]int, len(g.funcs)) // site to visit next
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

// below returns the share of the stack that callers count for a light function.
func (g *graph) below(k int) int64 {
	if g.sinks(k) {
		return 0
	}
	return g.deep[k]
}

// sinks reports whether a light function has to count its own share of the stack.
func (g *graph) sinks(k int) bool {
	fn := k + len(g.m.imports)
	return g.leads[k] && fn < len(g.m.declared) && g.m.declared[fn]
}

// charge adds the costs of the light functions that a function calls to its own, and returns the share of the stack
// that it has to count.
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

// dampened returns what is charged for a number of instructions. Of many, most are not executed each time.
func dampened(cost int64) int64 {
	const full, rest = 100, 16
	if cost <= full {
		return cost
	}
	return full + (cost-full)/rest
}
