package guest

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/symbol"
)

// stacksOf returns what reads the stacks of a module's guests: nil unless they are Go programs with a base image, which has their
// table of functions. It is made when it is first needed.
func stacksOf(m *Module) func() *symbol.Stacks {
	return sync.OnceValue(func() *symbol.Stacks {
		if m.base == nil || !strings.HasPrefix(m.manifest.SDK, "go/") {
			return nil
		}
		return symbol.NewStacks(m.base.Bytes)
	})
}

// goroutineStack returns where the stack of the running goroutine is, and how to read it; nil if that is not known.
func (i *Instance) goroutineStack() (s *symbol.Stacks, memory []byte, sp, top uint64) {
	if s = i.m.stacks(); s == nil || len(i.globals) <= goG {
		return nil, nil, 0, 0
	}
	memory = i.memory.Bytes()
	g := i.globals[goG].Get()
	if g > uint64(len(memory)) || uint64(len(memory))-g < 16 {
		return nil, nil, 0, 0
	}
	return s, memory, i.globals[goSP].Get() & 0xffffffff, binary.LittleEndian.Uint64(memory[g+8:])
}

// via returns the line of the workflow through which the guest came to the call that it is making, "" if it is the call's own site,
// or unknown. The guest notices nothing of it.
func (i *Instance) via(head []byte) string {
	s, memory, sp, top := i.goroutineStack()
	if s == nil {
		return ""
	}
	return s.Via(memory, sp, top, head)
}

// calling returns the stack of the code that is making a call, innermost first, nil if it is unknown.
func (i *Instance) calling() []flawless.StackFrame {
	s, memory, sp, top := i.goroutineStack()
	switch {
	case s != nil:
		return s.Calling(memory, sp, top)
	case i.tracer != nil:
		return i.tracer.own
	}
	return nil
}
