package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
	"github.com/flawless-engine/flawless/internal/guest/symbol"
)

// maxNodes is how many nodes the call tree of a turn may have.
const maxNodes = 1 << 20

// LoadTraced is [Runtime.Load] for a module whose guests record which functions they call, see [Instance.Traced].
// They compute the same as without tracing, but more slowly. With all, functions of the language's runtime are
// recorded, too.
func (r *Runtime) LoadTraced(ctx context.Context, bin []byte, all bool) (*Module, error) {
	return r.load(ctx, Digest(bin), bin, nil, &tracing{all: all})
}

// Traced reports whether guests of the module record which functions they call.
func (m *Module) Traced() bool { return m.tracing != nil }

// tracing is what a module needs to trace its guests.
type tracing struct {
	all     bool
	isGo    bool
	imports int // -1 until it is known
	symbols *symbol.Table
}

// prepare returns the context in which the module is to be compiled.
func (t *tracing) prepare(ctx context.Context, bin []byte, rewritten *rewrite.Result) context.Context {
	t.isGo, t.imports = isGo(bin), -1
	if t.isGo {
		t.symbols = symbol.Go(imageOf(rewritten.Data))
	} else {
		t.symbols = symbol.DWARF(bin)
	}
	return experimental.WithFunctionListenerFactory(ctx, t)
}

// imageOf returns memory as data segments fill it.
func imageOf(data []rewrite.Segment) (image []byte) {
	for _, s := range data {
		if end := int(s.Offset) + len(s.Bytes); end > len(image) {
			image = append(image, make([]byte, end-len(image))...)
		}
		copy(image[s.Offset:], s.Bytes)
	}
	return image
}

// NewFunctionListener returns a listener for each function that a trace shows. wazero calls it for all functions but
// imports, by index.
func (t *tracing) NewFunctionListener(d api.FunctionDefinition) experimental.FunctionListener {
	if t.imports < 0 {
		t.imports = int(d.Index())
	}
	index := int(d.Index()) - t.imports
	t.symbols.SetName(index, d.Name())
	name, _ := t.symbols.Func(index)
	if !t.all && symbol.IsRuntime(name) || t.isGo && !resumable(d) {
		return nil
	}
	return listener{}
}

// resumable reports whether a Go guest can leave a function in its middle and enter it again later.
func resumable(d api.FunctionDefinition) bool {
	p, r := d.ParamTypes(), d.ResultTypes()
	return len(p) == 1 && p[0] == api.ValueTypeI32 && len(r) == 1 && r[0] == api.ValueTypeI32
}

// listener passes events to the tracer of the instance in which they happen.
type listener struct{}

func (listener) Before(ctx context.Context, _ api.Module, d api.FunctionDefinition, params []uint64, _ experimental.StackIterator) {
	if i, ok := ctx.Value(instanceKey{}).(*Instance); ok && i.tracer != nil {
		i.tracer.enter(i, int(d.Index())-i.tracer.imports, params)
	}
}

func (listener) After(ctx context.Context, _ api.Module, _ api.FunctionDefinition, results []uint64) {
	if i, ok := ctx.Value(instanceKey{}).(*Instance); ok && i.tracer != nil {
		i.tracer.leave(i, i.tracer.isGo && uint32(results[0]) != 0)
	}
}

func (listener) Abort(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ error) {
	if i, ok := ctx.Value(instanceKey{}).(*Instance); ok && i.tracer != nil {
		i.tracer.leave(i, true)
	}
}

// tracer records the calls of one guest.
//
// A Go guest leaves the WebAssembly stack when it switches goroutines, and enters its functions again in their middle
// later. So there is a stack of frames for each goroutine, and a frame is identified by its depth on the goroutine's
// own stack.
type tracer struct {
	*tracing
	stacks  map[uint64][]frame // by goroutine; 0 for guests without goroutines
	entered []uint64           // goroutines whose functions are on the WebAssembly stack, innermost last
	turn    int
	root    *node
	nodes   int
	current *node // to which cost is charged
	last    uint64
	calls   []flawless.TracedCall
	own     []flawless.StackFrame // of the stack of the last call, the program's own code; not for Go
	full    bool
}

// frame is a function that was entered and has not returned.
type frame struct {
	fn    int
	depth uint64
	ret   uint64 // where it was called, as in symbol.Table.Call; 0 is unknown
	node  *node  // in the tree of the turn
	turn  int
	left  bool // the guest has left it in its middle
}

// node is a function called from one call site.
type node struct {
	fn       int
	ret      uint64
	count    int
	self     uint64
	children []*node
}

// child returns the node of a function called from a call site in this one.
func (n *node) child(t *tracer, fn int, ret uint64) *node {
	for _, c := range n.children {
		if c.fn == fn && c.ret == ret {
			return c
		}
	}
	if t.nodes++; t.nodes > maxNodes {
		t.full = true
		return n
	}
	c := &node{fn: fn, ret: ret}
	n.children = append(n.children, c)
	return c
}

// begin is called before a turn.
func (t *tracer) begin(turn int) {
	t.turn, t.root, t.nodes, t.last, t.calls, t.current = turn, &node{fn: -1}, 0, 0, nil, nil
	switch s := t.stacks[0]; {
	case t.isGo:
		t.entered = t.entered[:0]
	case len(s) > 0: // it continues in the middle of its functions
		t.current = t.nodeOf(s)
	}
}

// charge charges what was computed since the last event to the current function.
func (t *tracer) charge(i *Instance) {
	spent := i.used + uint64(i.filled-int64(i.units.Get()))
	if t.current != nil {
		t.current.self += spent - t.last
	}
	t.last = spent
}

// enter is called when a function is entered, at its beginning or, in Go, in its middle.
func (t *tracer) enter(i *Instance, fn int, params []uint64) {
	t.charge(i)
	var g, depth, ret uint64
	again := false
	if t.isGo {
		g, depth, ret = i.goroutine()
		again = uint32(params[0]) != 0
	} else if len(t.entered) > 0 { // called by the guest, not by the engine
		ret = i.site.Get()
	}
	s := t.stacks[g]
	f := frame{fn: fn, depth: depth, ret: ret}
	switch {
	case !t.isGo:
		s = append(s, f)
	case again:
		for len(s) > 0 && s[len(s)-1].depth > depth {
			s = s[:len(s)-1]
		}
		if len(s) == 0 || s[len(s)-1].fn != fn {
			f.ret = 0
			s = append(s, f)
		}
	default:
		for len(s) > 0 && s[len(s)-1].depth >= depth {
			last := s[len(s)-1]
			again = again || last.left && last.fn == fn && last.depth == depth // its stack has grown
			s = s[:len(s)-1]
		}
		s = append(s, f)
	}
	s[len(s)-1].left = false
	t.stacks[g] = s
	t.entered = append(t.entered, g)
	t.current = t.nodeOf(s)
	if !again {
		t.current.count++
	}
}

// leave is called when a function returns or, in Go, is left in its middle.
func (t *tracer) leave(i *Instance, unwinds bool) {
	t.charge(i)
	t.current = nil
	if len(t.entered) == 0 {
		return
	}
	g := t.entered[len(t.entered)-1]
	t.entered = t.entered[:len(t.entered)-1]
	s := t.stacks[g]
	switch {
	case len(s) == 0:
	case unwinds && t.isGo:
		s[len(s)-1].left = true
	default:
		s = s[:len(s)-1]
		t.stacks[g] = s
		if len(s) > 0 && (!t.isGo || len(t.entered) > 0 && t.entered[len(t.entered)-1] == g) {
			t.current = t.nodeOf(s)
		}
	}
}

// nodeOf returns the node of the innermost frame in the tree of this turn.
func (t *tracer) nodeOf(s []frame) *node {
	from := len(s)
	for from > 0 && s[from-1].turn != t.turn {
		from--
	}
	above := t.root
	if from > 0 {
		above = s[from-1].node
	}
	for k := from; k < len(s); k++ {
		above = above.child(t, s[k].fn, s[k].ret)
		s[k].node, s[k].turn = above, t.turn
	}
	return above
}

// The registers of a Go guest are its first globals.
const (
	goSP = 0
	goG  = 2
)

// goroutine returns the running goroutine of a Go guest, how many bytes of its stack are in use, and the return
// address of the function that was just called. A g begins with the bounds of its stack.
func (i *Instance) goroutine() (g, depth, ret uint64) {
	memory := i.memory.Bytes()
	sp := i.globals[goSP].Get() & 0xffffffff
	g = i.globals[goG].Get()
	if g+16 > uint64(len(memory)) || sp+8 > uint64(len(memory)) {
		return g, 0, 0
	}
	return g, binary.LittleEndian.Uint64(memory[g+8:]) - sp, binary.LittleEndian.Uint64(memory[sp:])
}

// called records the stack of a call.
func (t *tracer) called(i *Instance, n int) {
	var g uint64
	if t.isGo {
		g, _, _ = i.goroutine()
	}
	s := t.stacks[g]
	var stack, own []flawless.StackFrame
	inner := uint64(0)
	if !t.isGo {
		inner = i.site.Get()
	}
	for k := len(s) - 1; k >= 0; k-- {
		for _, f := range t.symbols.Frames(s[k].fn, inner) {
			stack = append(stack, f.StackFrame)
			if f.Own {
				own = append(own, f.StackFrame)
			}
		}
		inner = s[k].ret
	}
	t.calls = append(t.calls, flawless.TracedCall{N: n, Stack: stack})
	t.own = own
}

// errNotTraced means that a module was not loaded with LoadTraced.
var errNotTraced = errors.New("the guest's module was not loaded for tracing")

// Traced returns the call tree of the last turn. It may be called once after each turn.
func (i *Instance) Traced() (flawless.TracedTurn, error) {
	t := i.tracer
	switch {
	case t == nil:
		return flawless.TracedTurn{}, errNotTraced
	case t.full:
		return flawless.TracedTurn{}, fmt.Errorf("the call tree of turn %d has more than %d nodes, which is the limit; trace without --all: %w", t.turn, maxNodes, flawless.TooLarge)
	}
	out := flawless.TracedTurn{N: t.turn, Calls: t.calls}
	for _, n := range t.root.children {
		out.Roots = append(out.Roots, t.frame(n))
	}
	return out, nil
}

// frame returns a node with its names.
func (t *tracer) frame(n *node) *flawless.Frame {
	name, site := t.symbols.Func(n.fn)
	if name == "" {
		name = fmt.Sprintf("function %d", n.fn)
	}
	_, from := t.symbols.Call(n.ret)
	f := &flawless.Frame{Func: name, Site: site, From: from, Count: n.count, Self: n.self, Total: n.self}
	for _, c := range n.children {
		f.Calls = append(f.Calls, t.frame(c))
		f.Total += f.Calls[len(f.Calls)-1].Total
	}
	return f
}
