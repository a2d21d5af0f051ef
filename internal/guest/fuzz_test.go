package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/flawless-engine/flawless"
)

// FuzzHost calls host functions with any arguments, on the memory of a real guest. A call may end the guest, but must
// not harm the host.
func FuzzHost(f *testing.F) {
	m := load(f, Options{MemoryPages: 1024})
	f.Add([]byte{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{1, 20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		i := begin(t, m, "empty", 1)
		defer i.Release()
		i.begin(t.Context())
		for calls := 0; len(b) > 2 && calls < 64; calls++ {
			h := hosts[int(b[0])%len(hosts)]
			fn := h.functions[int(b[1])%len(h.functions)]
			b = b[2:]
			stack := make([]uint64, max(len(fn.params), 1))
			for k := range fn.params {
				// Small numbers are descriptors, counts and low addresses; large ones are outside of memory.
				var arg [8]byte
				n := copy(arg[:1+k%4], b)
				b = b[n:]
				stack[k] = binary.LittleEndian.Uint64(arg[:])
				if fn.params[k] == 'i' {
					stack[k] = uint64(uint32(stack[k]))
				}
			}
			if !try(t, i, fn, stack) {
				return
			}
		}
		if len(i.out.Calls) != i.made {
			t.Errorf("%d calls, numbered to %d", len(i.out.Calls), i.made)
		}
	})
}

// try calls a host function, and reports whether the guest is still alive.
func try(t *testing.T, i *Instance, fn function, stack []uint64) (alive bool) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		err, ok := p.(error)
		var broke *fault
		var exit *exited
		var stop *interrupted
		if !ok || !errors.As(err, &broke) && !errors.As(err, &exit) && !errors.As(err, &stop) {
			t.Fatalf("%s panicked with %v", fn.name, p)
		}
	}()
	fn.call()(context.WithValue(context.Background(), instanceKey{}, i), i.mod, stack)
	return true
}

// argument returns an interesting number.
func argument(b []byte) (n int, rest []byte) {
	if len(b) < 2 {
		return 0, nil
	}
	v := int(b[1])
	switch b[0] % 9 {
	case 0:
		n = v
	case 1:
		n = textAt + v
	case 2:
		n = firstFD + v%4
	case 3:
		n = idleFD
	case 4:
		n = 1<<16 - v
	case 5:
		n = -v
	case 6:
		n = v << 16
	case 7:
		n = scratchAt + 4*v
	case 8:
		n = v % 3
	}
	return n, b[2:]
}

// written returns a guest that makes the calls that b encodes.
func written(b []byte, scheduler bool) *program {
	p := hand(string(b[:min(len(b), 1024)]))
	var code []byte
	for calls := 0; len(b) > 2 && calls < 32; calls++ {
		h := hosts[int(b[0])%len(hosts)]
		f := h.functions[int(b[1])%len(h.functions)]
		b = b[2:]
		if f.name == "quantum" {
			continue
		}
		args := make([]int, len(f.params))
		for k := range args {
			args[k], b = argument(b)
		}
		if f.results != "" {
			code = append(code, i32(scratchAt+8*calls)...)
		}
		code = append(code, p.call(h.module+"."+f.name, args...)...)
		if f.results != "" {
			code = append(code, store...)
		}
	}
	p.add("flawless_start", code)
	if scheduler {
		p.add("flawless_resume", code)
	}
	return p
}

// FuzzGuest runs guests that make any calls, twice. A turn must not fail, and the second run must equal the first.
func FuzzGuest(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 8, 4, 8, 0, 8, 0, 8, 0, 8, 0, 0, 2, 7, 0, 8, 1}, false)
	f.Add([]byte{1, 37, 1, 0, 7, 0, 0, 3, 7, 90, 1, 20, 3, 0, 7, 0, 8, 1, 7, 9}, true)
	f.Add([]byte{1, 38, 0, 2}, true)
	r := newRuntime(f, Options{Interpreter: true, TurnUnits: 1 << 24})
	f.Fuzz(func(t *testing.T, b []byte, scheduler bool) {
		m, err := r.Load(t.Context(), written(b, scheduler).wasm(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(t.Context())
		var first []Out
		var hashes [][32]byte
		for again := range 2 {
			i := begin(t, m, "", 1)
			in := In{Time: began}
			for n := range 3 {
				out := turn(t, i, in)
				if again == 0 {
					first, hashes = append(first, out), append(hashes, i.Hash())
				} else if !reflect.DeepEqual(out, first[n]) || i.Hash() != hashes[n] {
					t.Errorf("turn %d: %+v, and again %+v", n+1, first[n], out)
				}
				if out.Ended != nil {
					break
				}
				in = In{Time: in.Time + 1}
				for _, c := range out.Calls {
					in.Answers = append(in.Answers, flawless.Answer{Call: c.N, Head: []byte("{}"), Body: b})
				}
			}
			i.Release()
		}
	})
}
