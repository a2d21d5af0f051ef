package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
)

// host is a module that guests can import from.
type host struct {
	module    string
	functions []function
}

// function is a host function. Its parameters and results are written i (i32) and I (i64).
type function struct {
	name, params, results string
	do                    func(i *Instance, s []uint64) uint32 // s are the parameters; the result is ignored if results is ""
}

func (f function) call() api.GoModuleFunc {
	do, params, result := f.do, f.params, f.results != ""
	return func(ctx context.Context, _ api.Module, s []uint64) {
		for k := range len(params) {
			if params[k] == 'i' {
				s[k] = uint64(uint32(s[k]))
			}
		}
		r := do(ctx.Value(instanceKey{}).(*Instance), s)
		if result {
			s[0] = uint64(r)
		}
	}
}

var hosts = []host{
	{"flawless", []function{
		{"call", "iiiiii", "i", call},
		{"answer", "iiii", "i", answer},
		{"wait", "ii", "i", wait},
		{"rest", "", "i", rest},
		{"finish", "iii", "", finish},
		{"describe", "ii", "", describe},
		{"quantum", "", "", meter},
	}},
	{"wasi_snapshot_preview1", wasi},
	{"wasabi", []function{{"submit", "iiii", "i", submit}}},
}

// offered reports whether a guest may import a function. Only the rewriter imports the meter.
func offered(module, name string) bool {
	for _, h := range hosts {
		if h.module == module {
			return name != "quantum" && slices.ContainsFunc(h.functions, func(f function) bool { return f.name == name })
		}
	}
	return false
}

const (
	minusOne  = 1<<32 - 1
	maxKind   = 64
	maxBody   = 64 << 20
	maxWeight = 256 << 20 // bytes that a turn may produce
	maxLogged = 16 << 20  // bytes of log lines of a turn, as JSON: a page of the log shows at least one turn
	itemCost  = 64        // overhead of an item, in bytes
	roomItems = 1024      // items of a record that are reserved for the engine
	unitBytes = 64        // that a host function copies for one unit
)

// fault ends a guest that breaks a rule. Host functions panic with it, which unwinds the guest. Its text is logged, and
// replay compares it with the logged one: the texts of faults are part of the format and never change.
type fault struct{ kind, text string }

func (f *fault) Error() string { return f.text }

func trap(format string, args ...any) {
	panic(&fault{"trap", fmt.Sprintf(format, args...)})
}

// view returns a range of guest memory, valid until the memory grows. It charges the guest for the bytes, so that a
// turn that makes the host work is stopped like one that computes.
func (i *Instance) view(ptr, n uint64) (b []byte, inside bool) {
	if ptr > math.MaxUint32 || n > math.MaxUint32 {
		return nil, false
	}
	if b, inside = i.mod.Memory().Read(uint32(ptr), uint32(n)); inside && n >= unitBytes {
		i.units.Set(i.units.Get() - n/unitBytes)
	}
	return b, inside
}

// bytesAt is view for host functions that trap outside of memory.
func (i *Instance) bytesAt(what string, ptr, n uint64) []byte {
	b, inside := i.view(ptr, n)
	if !inside {
		trap("the guest passed a %s outside of its memory: %d bytes at %d", what, n, ptr)
	}
	return b
}

// weigh counts bytes that the turn produces and the engine has to hold in memory.
func (i *Instance) weigh(n int) {
	if i.weight += n; i.weight > maxWeight {
		panic(&fault{"limit", fmt.Sprintf("the calls, data and log lines of the turn exceed the limit of %d MiB", maxWeight>>20)})
	}
}

// item counts a line, a step or a call of n bytes. Each is an item of the record in which the turn is written. A call
// counts as two: an entry about it may follow in the same record. A record with too many items could not be written,
// and its run would be quarantined.
func (i *Instance) item(n, count int) {
	const limit = flawless.MaxItems - roomItems
	if i.items += count; i.items > limit {
		panic(&fault{"limit", fmt.Sprintf("the turn exceeds the limit of %d log lines, or half as many calls", limit)})
	}
	i.weigh(n + itemCost)
}

// logLine adds a log line to the turn. The limit counts JSON, which can be six times as long as the text, because
// readers of the log have to hold that in memory.
func (i *Instance) logLine(l flawless.Line) {
	if i.lineBytes += jsonSize(l.Level) + jsonSize(l.Text) + len(l.Fields) + jsonSize(l.Site); i.lineBytes > maxLogged {
		panic(&fault{"limit", fmt.Sprintf("the log lines of the turn exceed the limit of %d MiB as JSON; log less, or wait in between: a turn ends where the code waits", maxLogged>>20)})
	}
	i.out.Lines = append(i.out.Lines, l)
}

// jsonSize returns how many bytes a text takes in a JSON string, or a few more.
func jsonSize(text string) (n int) {
	for _, r := range text {
		switch {
		case r < ' ', r == '\u2028', r == '\u2029':
			n += len(`\u0000`)
		case r == '"', r == '\\':
			n += 2
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
}

// call makes a call, or records a log line, data, a label or a step of a saga.
func call(i *Instance, s []uint64) uint32 {
	if s[1] > maxKind {
		trap("the guest made a call whose kind has %d bytes, at most %d are allowed", s[1], maxKind)
	}
	if s[5] > maxBody {
		trap("the guest made a call with a body of %d bytes, at most %d are allowed", s[5], maxBody)
	}
	kind := string(i.bytesAt("kind of call", s[0], s[1]))
	head := i.bytesAt("head of a call", s[2], s[3])
	body := i.bytesAt("body of a call", s[4], s[5])
	if len(head) > 0 && !i.expects(head) && !json.Valid(head) {
		trap("the guest made a call of kind %q whose head is not JSON: %.100q", kind, head)
	}
	if i.out.Ended != nil || i.describing {
		return minusOne
	}
	count := 2
	switch kind {
	case "log", "step", "label", "data":
		count = 1
	}
	i.item(len(head)+len(body), count)
	switch kind {
	case "log":
		i.line(head, body)
		return 0
	case "data":
		if !json.Valid(body) {
			trap("the guest published data that is not JSON: %.100q", body)
		}
		i.out.Data = bytes.Clone(body)
		return 0
	}
	switch kind {
	case "label":
		i.label(head)
		return 0
	case "step":
		i.noteStep(head)
		return 0
	}
	return uint32(i.addCall(kind, bytes.Clone(head), bytes.Clone(body)))
}

// expects reports whether a replay expects a call with this head. Then it was valid when it was logged.
func (i *Instance) expects(head []byte) bool {
	return slices.ContainsFunc(i.expect, func(c flawless.Call) bool { return bytes.Equal(c.Head, head) })
}

// addCall adds a call to the turn and returns its number.
func (i *Instance) addCall(kind string, head, body []byte) int {
	made := flawless.Call{Kind: kind, Head: head, Body: body}
	expected := len(i.expect)
	made.N = i.number(made)
	if len(i.expect) == expected { // else the log has it
		made.Via = i.via(head)
	}
	if i.tracer != nil {
		i.tracer.called(i, made.N)
	}
	if i.stacked {
		i.out.Stacks = append(i.out.Stacks, flawless.TracedCall{N: made.N, Stack: i.calling()})
	}
	i.out.Calls = append(i.out.Calls, made)
	return made.N
}

// number returns the number of a call: that of the logged call if a replay expects it, or else the next one. An
// identical call is preferred to one that only asks for the same, for instance with another time-out.
func (i *Instance) number(made flawless.Call) int {
	same := i.same
	if same == nil {
		same = flawless.Call.Same
	}
	k := slices.IndexFunc(i.expect, func(c flawless.Call) bool {
		return c.Kind == made.Kind && bytes.Equal(c.Head, made.Head) && bytes.Equal(c.Body, made.Body)
	})
	if k < 0 {
		k = slices.IndexFunc(i.expect, func(c flawless.Call) bool { return same(c, made) })
	}
	if k < 0 {
		i.taken++
		i.made = max(i.made, i.taken)
		return i.taken
	}
	n := i.expect[k].N
	i.expect = slices.Delete(i.expect, k, k+1)
	i.made = max(i.made, n)
	return n
}

// label records a label of the run.
func (i *Instance) label(head []byte) {
	var h struct{ Name, Value string }
	if json.Unmarshal(head, &h) != nil || flawless.CheckLabel(h.Name, h.Value) != nil {
		trap("the guest set a label that no run can have: %.300q", head)
	}
	if i.out.Labels == nil {
		i.out.Labels = map[string]string{}
	}
	i.out.Labels[h.Name] = h.Value
}

// noteStep records that a step of a saga was taken, or is no longer open.
func (i *Instance) noteStep(head []byte) {
	var s flawless.Step
	if json.Unmarshal(head, &s) != nil || s.N <= 0 {
		trap("the guest reported an invalid saga step: %.300q", head)
	}
	if len(s.Name) > flawless.MaxStep {
		s.Name = strings.ToValidUTF8(s.Name[:flawless.MaxStep], "")
	}
	if at := slices.IndexFunc(i.out.Steps, func(x flawless.Step) bool { return x.N == s.N }); at >= 0 && s.Name == "" {
		i.out.Steps = slices.Delete(i.out.Steps, at, at+1)
		return
	}
	i.out.Steps = append(i.out.Steps, s)
}

// line records a log line.
func (i *Instance) line(head, text []byte) {
	var h struct {
		Level  string          `json:"level"`
		Fields json.RawMessage `json:"fields"`
		At     string          `json:"at"`
	}
	if len(head) > 0 && json.Unmarshal(head, &h) != nil {
		trap("the guest logged a line with an invalid head: %.100q", head)
	}
	if h.Level == "" {
		h.Level = "info"
	}
	i.logLine(flawless.Line{Level: h.Level, Text: strings.ToValidUTF8(string(text), "\uFFFD"), Fields: h.Fields, Site: h.At})
}

// answer copies the head or the body of an answer.
func answer(i *Instance, s []uint64) uint32 {
	n := int(int32(s[0]))
	a, ok := i.visible[n]
	if !ok {
		return minusOne
	}
	part := []byte(a.Head)
	switch s[1] {
	case 0:
	case 1:
		part = a.Body
	default:
		trap("the guest asked for part %d of an answer; there are 0 (head) and 1 (body)", s[1])
	}
	copy(i.bytesAt("buffer for an answer", s[2], s[3]), part)
	return uint32(len(part))
}

// wait ends the turn of a guest without a scheduler, and returns once one of its calls has an answer.
func wait(i *Instance, s []uint64) uint32 {
	if i.resume != nil {
		trap("the guest called wait, which is for guests without the export flawless_resume")
	}
	if i.stepping == nil {
		trap("the guest called wait outside of flawless_start, where there are no calls")
	}
	if s[1] == 0 || s[1] > 1<<16 {
		trap("the guest waits for %d calls; 1 to 65536 are possible", s[1])
	}
	b := i.bytesAt("list of calls", s[0], 4*s[1])
	list := make([]int, s[1])
	for k := range list {
		list[k] = int(int32(binary.LittleEndian.Uint32(b[4*k:])))
		if list[k] < 0 || list[k] > i.made {
			trap("the guest waits for call %d, which it has not made", list[k])
		}
	}
	for {
		for k, n := range list {
			if _, ok := i.visible[n]; ok {
				return uint32(k)
			}
		}
		i.pause()
	}
}

// finish ends the run with an output or a failure.
func finish(i *Instance, s []uint64) uint32 {
	if s[2] > maxBody {
		trap("the guest finished with %d bytes, at most %d are allowed", s[2], maxBody)
	}
	b := i.bytesAt("result", s[1], s[2])
	if i.out.Ended != nil || i.describing {
		return 0
	}
	i.weigh(len(b))
	b = bytes.Clone(b)
	if s[0] == 1 {
		if !json.Valid(b) {
			trap("the guest finished with an output that is not JSON: %.100q", b)
		}
		i.out.Ended = &flawless.Ended{Output: b}
		return 0
	}
	f := &flawless.Failure{}
	if json.Unmarshal(b, f) != nil {
		f.Message = string(b)
	}
	if f.Kind != "panic" && f.Kind != "cancelled" {
		f.Kind = "error"
	}
	i.out.Ended = &flawless.Ended{Failure: f}
	return 0
}

// describe receives the manifest, or the text of flawless_blocked.
func describe(i *Instance, s []uint64) uint32 {
	i.described = bytes.Clone(i.bytesAt("description", s[0], s[1]))
	return 0
}

// meter is called by the rewritten guest when it has used up a quantum of units.
func meter(i *Instance, _ []uint64) uint32 {
	i.count()
	if err := i.turnCtx.Err(); err != nil {
		panic(&interrupted{err})
	}
	if limit := i.limit(); limit > 0 && i.used >= limit {
		panic(&fault{"limit", fmt.Sprintf("the turn exceeds the limit of %d units of computation", limit)})
	}
	i.refill()
	if i.yield != nil {
		i.yield()
	}
	runtime.Gosched()
	return 0
}

// interrupted ends a guest because of an error of the host, such as a cancelled context.
type interrupted struct{ err error }

func (e *interrupted) Error() string { return "the turn was stopped: " + e.err.Error() }
func (e *interrupted) Unwrap() error { return e.err }
