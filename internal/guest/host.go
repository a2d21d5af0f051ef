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

// host is a module that is offered to guests.
type host struct {
	module    string
	functions []function
}

// function is one of its functions. Parameters and results are spelled i (i32) and I (i64).
type function struct {
	name, params, results string
	do                    func(i *Instance, s []uint64) uint32 // s are the parameters, an i below 1<<32; the result is that of the function, if it has one
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

// offered tells whether a guest may import a function. The meter is ours alone.
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
	maxWeight = 256 << 20 // of what a turn brings forth
	maxLogged = 16 << 20  // of log lines of a turn, as JSON: a page of the log shows at least one turn
	itemCost  = 64        // bytes that an item weighs besides its own
	roomItems = 1024      // of those that a record may have, are left to the engine
	unitBytes = 64        // that a host function moves for one unit
)

// fault is a guest that breaks the rules. Host functions panic with it, which unwinds the guest.
type fault struct{ kind, text string }

func (f *fault) Error() string { return f.text }

func trap(format string, args ...any) {
	panic(&fault{"trap", fmt.Sprintf(format, args...)})
}

// view returns a piece of guest memory, which is stale when that grows. The guest pays for it, so
// that a turn of much work for the host is stopped like one of much work for the guest.
func (i *Instance) view(ptr, n uint64) (b []byte, inside bool) {
	if ptr > math.MaxUint32 || n > math.MaxUint32 {
		return nil, false
	}
	if b, inside = i.mod.Memory().Read(uint32(ptr), uint32(n)); inside && n >= unitBytes {
		i.units.Set(i.units.Get() - n/unitBytes)
	}
	return b, inside
}

// bytesAt is view for functions that trap.
func (i *Instance) bytesAt(what string, ptr, n uint64) []byte {
	b, inside := i.view(ptr, n)
	if !inside {
		trap("the guest passed a %s outside of its memory: %d bytes at %d", what, n, ptr)
	}
	return b
}

// weigh adds to what the turn has brought forth, which the engine has to hold in memory.
func (i *Instance) weigh(n int) {
	if i.weight += n; i.weight > maxWeight {
		panic(&fault{"limit", fmt.Sprintf("the turn brought forth more than %d MiB of calls, data and lines, which is the limit for a turn", maxWeight>>20)})
	}
}

// item is weigh for a line, a step or a call. Each is one item of the record that the turn is written in, and a
// call may be followed there by an entry about it, so it counts as two. A turn that could not be written would
// have its run set aside.
func (i *Instance) item(n, count int) {
	const most = flawless.MaxItems - roomItems
	if i.items += count; i.items > most {
		panic(&fault{"limit", fmt.Sprintf("the turn brought forth more than %d lines, or half as many calls, which is the limit for a turn", most)})
	}
	i.weigh(n + itemCost)
}

// logLine adds a line to what the turn has logged. JSON spends up to six bytes on one of the guest's, so the limit
// counts JSON: that is what a reader of the log has to hold.
func (i *Instance) logLine(l flawless.Line) {
	if i.lineBytes += jsonSize(l.Level) + jsonSize(l.Text) + len(l.Fields) + jsonSize(l.Site); i.lineBytes > maxLogged {
		panic(&fault{"limit", fmt.Sprintf("the turn logged more than %d MiB of lines, counted as JSON, which is the limit for a turn; log less, or less at a time: a turn ends where the code waits", maxLogged>>20)})
	}
	i.out.Lines = append(i.out.Lines, l)
}

// jsonSize is how many bytes text has in a JSON string, at most.
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

// call makes a call, or takes down a note.
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
	return uint32(i.make(kind, bytes.Clone(head), bytes.Clone(body)))
}

// expects tells whether a replay expects a call with this head, which was valid when it was logged.
func (i *Instance) expects(head []byte) bool {
	return slices.ContainsFunc(i.expect, func(c flawless.Call) bool { return bytes.Equal(c.Head, head) })
}

// make takes a call down and returns its number.
func (i *Instance) make(kind string, head, body []byte) int {
	made := flawless.Call{Kind: kind, Head: head, Body: body}
	made.N = i.number(made)
	if i.tracer != nil {
		i.tracer.called(i, made.N)
	}
	i.out.Calls = append(i.out.Calls, made)
	return made.N
}

// number returns the number of a call: that of the one a replay expects, or the next. One that is logged as it
// was made goes before one that only asks for the same, with another time-out for instance.
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

// label takes down a label of the run.
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

// noteStep takes down that a step of a saga was taken, or is not open any more.
func (i *Instance) noteStep(head []byte) {
	var s flawless.Step
	if json.Unmarshal(head, &s) != nil || s.N <= 0 {
		trap("the guest told of a step of a saga that cannot be one: %.300q", head)
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

func (i *Instance) line(head, text []byte) {
	var h struct {
		Level  string          `json:"level"`
		Fields json.RawMessage `json:"fields"`
		At     string          `json:"at"`
	}
	if len(head) > 0 && json.Unmarshal(head, &h) != nil {
		trap("the guest logged a line whose head is not as it should be: %.100q", head)
	}
	if h.Level == "" {
		h.Level = "info"
	}
	i.logLine(flawless.Line{Level: h.Level, Text: strings.ToValidUTF8(string(text), "\uFFFD"), Fields: h.Fields, Site: h.At})
}

// answer copies a part of an answer.
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

// wait blocks a guest without a scheduler until one of its calls has an answer. The turn ends here.
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

// finish takes the run's end.
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

// describe takes the manifest, or the text of flawless_blocked.
func describe(i *Instance, s []uint64) uint32 {
	i.described = bytes.Clone(i.bytesAt("description", s[0], s[1]))
	return 0
}

// meter is called by the rewritten guest whenever a quantum of units is used up.
func meter(i *Instance, _ []uint64) uint32 {
	i.count()
	if err := i.turnCtx.Err(); err != nil {
		panic(&interrupted{err})
	}
	if limit := i.limit(); limit > 0 && i.used >= limit {
		panic(&fault{"limit", fmt.Sprintf("the turn used more than %d units of computation, which is the limit for a turn", limit)})
	}
	i.refill()
	if i.yield != nil {
		i.yield()
	}
	runtime.Gosched()
	return 0
}

// interrupted ends a guest whose turn is not wanted any more.
type interrupted struct{ err error }

func (e *interrupted) Error() string { return "the turn was stopped: " + e.err.Error() }
func (e *interrupted) Unwrap() error { return e.err }
