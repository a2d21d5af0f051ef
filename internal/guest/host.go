package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
	do                    func(i *Instance, s []uint64) uint32 // s are the parameters; the result is that of the function, if it has one
}

func (f function) call() api.GoModuleFunc {
	do, result := f.do, f.results != ""
	return func(ctx context.Context, _ api.Module, s []uint64) {
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
		{"finish", "iii", "", finish},
		{"describe", "ii", "", describe},
		{"quantum", "", "", meter},
	}},
	{"wasi_snapshot_preview1", wasi},
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
	minusOne = 1<<32 - 1
	maxKind  = 64
	maxBody  = 64 << 20
)

// fault is a guest that breaks the rules. Host functions panic with it, which unwinds the guest.
type fault struct{ kind, text string }

func (f *fault) Error() string { return f.text }

func trap(format string, args ...any) {
	panic(&fault{"trap", fmt.Sprintf(format, args...)})
}

// bytesAt returns a view of guest memory, which the next grow of it may make stale.
func (i *Instance) bytesAt(what string, ptr, n uint64) []byte {
	b, ok := i.mod.Memory().Read(uint32(ptr), uint32(n))
	if !ok {
		trap("the guest passed a %s outside of its memory: %d bytes at %d", what, uint32(n), uint32(ptr))
	}
	return b
}

// call makes a call, or takes down a note.
func call(i *Instance, s []uint64) uint32 {
	if uint32(s[1]) > maxKind {
		trap("the guest made a call whose kind has %d bytes, at most %d are allowed", uint32(s[1]), maxKind)
	}
	if uint32(s[5]) > maxBody {
		trap("the guest made a call with a body of %d bytes, at most %d are allowed", uint32(s[5]), maxBody)
	}
	kind := string(i.bytesAt("kind of call", s[0], s[1]))
	head := i.bytesAt("head of a call", s[2], s[3])
	body := i.bytesAt("body of a call", s[4], s[5])
	if len(head) > 0 && !json.Valid(head) {
		trap("the guest made a call of kind %q whose head is not JSON: %.100q", kind, head)
	}
	if i.out.Ended != nil || i.describing {
		return minusOne
	}
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
	i.made++
	i.out.Calls = append(i.out.Calls, flawless.Call{N: i.made, Kind: kind, Head: bytes.Clone(head), Body: bytes.Clone(body)})
	return uint32(i.made)
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
	i.out.Lines = append(i.out.Lines, flawless.Line{Level: h.Level, Text: string(text), Fields: h.Fields, Site: h.At})
}

// answer copies a part of an answer.
func answer(i *Instance, s []uint64) uint32 {
	n := int(int32(s[0]))
	a, ok := i.visible[n]
	if !ok {
		return minusOne
	}
	part := []byte(a.Head)
	switch uint32(s[1]) {
	case 0:
	case 1:
		part = a.Body
	default:
		trap("the guest asked for part %d of an answer; there are 0 (head) and 1 (body)", uint32(s[1]))
	}
	copy(i.bytesAt("buffer for an answer", s[2], s[3]), part)
	return uint32(len(part))
}

// wait blocks a guest without a scheduler until one of its calls has an answer. The turn ends here.
func wait(i *Instance, s []uint64) uint32 {
	if i.resume != nil {
		trap("the guest called wait, which is for guests without the export flawless_resume")
	}
	count := uint32(s[1])
	if count == 0 || count > 1<<16 {
		trap("the guest waits for %d calls; 1 to 65536 are possible", count)
	}
	list := make([]int, count)
	for k := range list {
		b := i.bytesAt("list of calls", s[0]+4*uint64(k), 4)
		list[k] = int(int32(binary.LittleEndian.Uint32(b)))
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
		i.pause(list, 0)
	}
}

// finish takes the run's end.
func finish(i *Instance, s []uint64) uint32 {
	b := bytes.Clone(i.bytesAt("result", s[1], s[2]))
	if i.out.Ended != nil || i.describing {
		return 0
	}
	if uint32(s[0]) == 1 {
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
	if f.Kind == "" {
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
	if limit := i.m.rt.options.TurnUnits; limit > 0 && i.used >= limit {
		panic(&fault{"limit", "the turn used more than " + strconv.FormatUint(limit, 10) + " units of computation, which is the limit for a turn"})
	}
	i.refill()
	yield()
	return 0
}

// interrupted ends a guest whose turn is not wanted any more.
type interrupted struct{ err error }

func (e *interrupted) Error() string { return "the turn was stopped: " + e.err.Error() }
func (e *interrupted) Unwrap() error { return e.err }
