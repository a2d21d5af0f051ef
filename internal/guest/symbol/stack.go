package symbol

import (
	"bytes"
	"encoding/binary"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
)

// Stacks reads the stacks of the goroutines of one Go program from its memory, without its help. Its methods may be called
// concurrently.
//
// A stack is a chain of frames. Each ends with the address to which its function returns, and the table of functions says how
// large the frame of a function is at each of its addresses. Nothing in memory is trusted: a chain that does not make sense
// ends there.
type Stacks struct {
	table *Table
	calls uint64                            // size of the frame of the function that makes calls; see callers
	own   string                            // prefix of the packages of the program's own module, "" if it is not known
	known atomic.Pointer[map[uint64]*place] // by return address
}

// place is what a return address says: which functions are there, and how large their frame is.
type place struct {
	lines []line // innermost first; more than one if functions were inlined
	size  uint64
	ends  bool // nothing is above it on the stack
}

type line struct {
	flawless.StackFrame
	text   string // of the position, file:line
	quoted []byte // the same as JSON
	scope  string // the function in whose text it is: that of a closure is the one around it
	own    bool   // code of the program's own module
	shown  bool   // neither the language's runtime nor the SDK
}

const (
	maxFrames = 128  // of a stack that is read
	maxPlaces = 4096 // that are remembered
)

// NewStacks returns the stacks of a Go program whose memory begins as image, or nil if it has no table of functions or is not
// made with the SDK.
func NewStacks(image []byte) *Stacks {
	s := &Stacks{table: Go(image)}
	if s.table.pcln == nil {
		return nil
	}
	for at := range s.table.pcln.all() {
		if strings.HasSuffix(s.table.pcln.nameAt(at), "sdk/go/internal/abi.hostCall") {
			s.calls = s.table.pcln.largestFrame(at)
			s.own = ownModule(image)
			return s
		}
	}
	return nil
}

// modInfo is what stands before the description of a program's modules in its memory.
const modInfo = "0w\xaf\f\x92t\b\x02A\xe1\xc1\a\xe6\xd6\x18\xe6path\t"

// ownModule returns the path of the module with the program's main package, or "".
func ownModule(image []byte) string {
	at := bytes.Index(image, []byte(modInfo))
	if at < 0 {
		return ""
	}
	text := image[at+len(modInfo):]
	for range 8 { // path, mod, and then what it depends on
		line, rest, _ := bytes.Cut(text[:min(len(text), 4096)], []byte("\n"))
		if path, is := bytes.CutPrefix(line, []byte("mod\t")); is {
			path, _, _ = bytes.Cut(path, []byte("\t"))
			return string(path)
		}
		text = text[min(len(text), len(line)+1):]
		if len(rest) == 0 {
			break
		}
	}
	return ""
}

// walk puts the places on the stack of the goroutine that is making a call into out, innermost first, and returns how many there are
// and whether they lead to the end of the stack. sp is its stack pointer in memory, and top the end of its stack.
func (s *Stacks) walk(memory []byte, sp, top uint64, out []*place) (n int, whole bool) {
	top = min(top, uint64(len(memory)))
	sp += s.calls
	for n < len(out) && sp <= top && top-sp >= 8 {
		p := s.at(binary.LittleEndian.Uint64(memory[sp:]))
		if p == nil {
			return n, false
		}
		out[n] = p
		if n++; p.ends {
			return n, true
		}
		sp += 8 + p.size
	}
	return n, false
}

// Via returns the line, file:line, in the function with which the goroutine that is making a call began, as far as that is the
// program's own code: the workflow, or the function of a go statement. A closure belongs to the function around it. The result is
// "" if it is not known, and if head, that of the call, has it already.
func (s *Stacks) Via(memory []byte, sp, top uint64, head []byte) string {
	var room [maxFrames]*place
	n, whole := s.walk(memory, sp, top, room[:])
	if !whole {
		return ""
	}
	var via *line
	for _, p := range slices.Backward(room[:n]) {
		for i := len(p.lines) - 1; i >= 0; i-- {
			switch l := &p.lines[i]; {
			case !l.own:
			case via == nil || l.scope == via.scope:
				via = l
			}
		}
	}
	if via == nil || bytes.Contains(head, via.quoted) {
		return ""
	}
	return via.text
}

// Calling returns the stack of the goroutine that is making a call, innermost first, without the language's runtime and the SDK.
func (s *Stacks) Calling(memory []byte, sp, top uint64) (out []flawless.StackFrame) {
	var room [maxFrames]*place
	n, _ := s.walk(memory, sp, top, room[:])
	for _, p := range room[:n] {
		for _, l := range p.lines {
			if l.shown {
				out = append(out, l.StackFrame)
			}
		}
	}
	return out
}

// at returns the place of a return address, or nil if it is none. A guest that invents addresses makes it look up maxPlaces of them,
// and no more.
func (s *Stacks) at(pc uint64) *place {
	known := s.known.Load()
	if known != nil {
		if p, ok := (*known)[pc]; ok || len(*known) >= maxPlaces {
			return p
		}
	}
	p := s.find(pc)
	next := map[uint64]*place{} // places are few and soon all known, so they are copied rather than locked
	if known != nil {
		maps.Copy(next, *known)
	}
	next[pc] = p
	s.known.CompareAndSwap(known, &next) // else another one is remembered, and this one the next time
	return p
}

func (s *Stacks) find(pc uint64) *place {
	t := s.table.pcln
	index := int(pc>>16) - firstFunc
	at, ok := t.entry(index)
	if !ok || pc>>40 != 0 {
		return nil
	}
	p := &place{}
	for _, f := range t.inlined(at, index, uint16(max(pc&0xffff, 1)-1)) {
		between := isSDK(f.Func)
		p.lines = append(p.lines, line{
			StackFrame: f, text: textOf(f.Site), quoted: []byte(strconv.Quote(textOf(f.Site))), scope: scopeOf(f.Func),
			own: !between && f.Site.Line > 0 && s.isOwn(f.Func), shown: !between && !IsRuntime(f.Func),
		})
		p.ends = p.ends || f.Func == "runtime.goexit"
	}
	size := t.value(t.half(at+16), uint16(pc))
	if p.ends {
		size = 0
	}
	if p.size = uint64(size); size < 0 || size > 1<<20 || size%8 != 0 {
		return nil
	}
	return p
}

// isOwn reports whether a function is in the program's own module. If that is not known, what is neither of the standard library nor
// the SDK counts: the first part of the path of any other package has a dot.
func (s *Stacks) isOwn(function string) bool {
	if strings.HasPrefix(function, "main.") {
		return true
	}
	if s.own != "" {
		rest, ok := strings.CutPrefix(function, s.own)
		return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/"))
	}
	first, _, ok := strings.Cut(function, "/")
	return ok && strings.Contains(first, ".")
}

// sdk is the path of the SDK. Its packages are the root, nethttp and those in internal.
const sdk = "github.com/flawless-engine/flawless/sdk/go"

func isSDK(function string) bool {
	rest, ok := strings.CutPrefix(function, sdk)
	return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/nethttp.") || strings.HasPrefix(rest, "/internal/"))
}

// closure matches what the compiler appends to the name of a function for those inside of it.
var closure = regexp.MustCompile(`(\.func[0-9]+|\.gowrap[0-9]+|\.deferwrap[0-9]+|-range[0-9]+|\.[0-9]+)+$`)

func scopeOf(function string) string { return closure.ReplaceAllString(function, "") }
