package guest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/memory"
	"github.com/flawless-engine/flawless/internal/guest/wasabi"
)

// Start is how a run begins.
type Start struct {
	Run, Module, Workflow string
	Input                 []byte          // JSON
	Seed                  []byte          // 32 bytes; all randomness of the run is derived from it
	Time                  int64           // Unix nanoseconds; the monotonic clock begins here
	URL                   string          // of the engine as the outside reaches it, "" if unknown
	Steps                 []flawless.Step // for Thaw: the steps that were open when the guest was frozen
	// Yield is called about every millisecond while the guest computes, in the goroutine of its turn. It may block. It
	// may be nil.
	Yield func()
}

// Instance is a guest of one run. It is not safe for concurrent use.
type Instance struct {
	m       *Module
	mod     api.Module
	memory  memory.Linear
	globals []api.MutableGlobal
	units   api.MutableGlobal
	depth   api.Global
	site    api.Global // address of the latest call; nil if it is not traced
	start   api.Function
	resume  api.Function // nil if the guest has no scheduler
	alloc   api.Function // of a guest built with the crates of flawless.dev
	ctx     context.Context
	stack   [1]uint64 // result of a function

	origin, now int64
	random      *rand.ChaCha8
	made        int             // highest number of a call that was made
	taken       int             // highest number of a call that was made or is expected in this turn
	expect      []flawless.Call // calls that a replay still expects in this turn
	same        func(expected, made flawless.Call) bool
	visible     map[int]visible // answers that were delivered and not closed
	unwanted    map[int]bool    // calls that the guest closed before they were answered
	order       int
	turns       int
	open        []flawless.Step // steps of sagas that were taken and not undone, oldest first

	yield      func()
	turnCtx    context.Context
	out        Out
	over       bool // the idle descriptor is readable
	timerless  int  // what is known about its timers
	partial    [2][]byte
	filled     int64 // units at the last refill
	used       uint64
	subs       []subscription
	describing bool
	described  []byte
	weight     int  // bytes that the turn has produced
	lineBytes  int  // bytes of its log lines, as JSON
	items      int  // how many items of a record it needs
	broken     bool // it trapped and must not be reused
	spoiled    bool // it takes no more turns
	released   bool
	stepping   *stepping
	tracer     *tracer
	stacked    bool // the turn reports the stacks of calls

	module, workflow string
	secrets          string          // token of its secret placeholders
	session          *wasabi.Session // of a guest built with the crates of flawless.dev, once its workflow begins
}

type visible struct {
	flawless.Answer
	order int
}

// instanceKey is the context key of the instance that calls a host function.
type instanceKey struct{}

type instanceContext struct {
	context.Context
	i *Instance
}

// Value returns the instance for its key. It walks no chain of contexts.
func (c *instanceContext) Value(key any) any {
	if _, mine := key.(instanceKey); mine {
		return c.i
	}
	return c.Context.Value(key)
}

// Start returns a guest for a run, before its first turn. The caller must release it.
func (m *Module) Start(ctx context.Context, s Start) (*Instance, error) {
	if len(s.Seed) != 32 {
		return nil, fmt.Errorf("starting %s/%s: a seed has 32 bytes, not %d: %w", s.Module, s.Workflow, len(s.Seed), flawless.Invalid)
	}
	i, err := m.acquire(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", s.Module, s.Workflow, err)
	}
	if m.base != nil {
		i.reseed(s.Seed)
	}
	i.prepare(s)
	i.random = rand.NewChaCha8(derive(s.Seed, "random_get", 0))
	return i, nil
}

// prepare sets the state with which the run begins.
func (i *Instance) prepare(s Start) {
	i.workflow, i.secrets = s.Workflow, flawless.SecretToken(s.Seed)
	i.module = s.Module
	i.visible = map[int]visible{0: {Answer: flawless.Answer{Body: s.Input}}}
	i.setSelf(flawless.Self{Run: s.Run, URL: s.URL})
	i.origin, i.now = s.Time, s.Time
	i.yield = s.Yield
	if i.m.tracing != nil {
		i.tracer = &tracer{tracing: i.m.tracing, stacks: map[uint64][]frame{}}
		i.tracer.begin(-1) // no turn, for what the guest is asked before its next one
	}
}

// setSelf sets the head of the answer of call 0, which tells the guest what it is.
func (i *Instance) setSelf(self flawless.Self) {
	b, err := json.Marshal(struct {
		Module   string `json:"module"`
		Run      string `json:"run"`
		Secrets  string `json:"secrets"`
		URL      string `json:"url,omitempty"`
		Workflow string `json:"workflow"`
	}{i.module, self.Run, i.secrets, self.URL, i.workflow})
	if err != nil {
		panic("guest: strings that are not JSON: " + err.Error())
	}
	start := i.visible[0]
	start.Head = b
	i.visible[0] = start
}

// derive derives a seed for one purpose from a run's seed.
func derive(seed []byte, purpose string, n int) [32]byte {
	b := append(append([]byte(nil), seed...), purpose...)
	return sha256.Sum256(binary.LittleEndian.AppendUint32(b, uint32(n)))
}

// Hash returns the SHA-256 of the guest's state between two turns: its memory and globals, without the two globals of
// the meter. It is all zeros after Release.
func (i *Instance) Hash() [32]byte {
	if i.released {
		return [32]byte{}
	}
	h := sha256.New()
	b := i.memory.Bytes()
	number := func(n uint64) { h.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	number(uint64(len(b)))
	h.Write(b)
	for _, g := range i.globals[:len(i.globals)-2] { // the last two are the meter
		number(g.Get())
	}
	return [32]byte(h.Sum(nil))
}

// Blocked returns a text that says where each goroutine or task of the guest is blocked, "" if that is unknown. The
// instance can only be released afterwards.
func (i *Instance) Blocked(ctx context.Context) string {
	f := i.mod.ExportedFunction("flawless_blocked")
	if f == nil || i.released || i.stepping != nil || i.spoiled {
		return ""
	}
	i.spoiled = true
	i.describing, i.described = true, nil
	i.begin(ctx)
	if err := i.invoke(f); err != nil {
		i.broken = true
		return ""
	}
	return string(i.described)
}

// Release releases the guest. It must not be used afterwards. Release may be called twice.
func (i *Instance) Release() {
	if i.released {
		return
	}
	i.released = true
	if i.stepping != nil {
		i.stepping.abandon()
	}
	i.m.recycle(i)
}

// readGlobals returns all globals.
func (i *Instance) readGlobals() []uint64 {
	out := make([]uint64, len(i.globals))
	for k, g := range i.globals {
		out[k] = g.Get()
	}
	return out
}

// Size returns the size of the linear memory in bytes; 0 after Release.
func (i *Instance) Size() int {
	if i.released || i.memory == nil {
		return 0
	}
	return len(i.memory.Bytes())
}

// Memory returns a copy of the guest's linear memory; nil after Release.
func (i *Instance) Memory() []byte {
	if i.released || i.memory == nil {
		return nil
	}
	return slices.Clone(i.memory.Bytes())
}

// Own returns how many bytes are in pages that differ from the base image; 0 if there is no base image.
func (i *Instance) Own() int {
	if i.released || i.m.base == nil {
		return 0
	}
	n := 0
	i.changes(func(_ int, b, _ []byte) { n += len(b) })
	return n
}
