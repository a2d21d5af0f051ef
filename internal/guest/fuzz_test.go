package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
)

// FuzzHost lets a guest that is up to anything call every host function with any arguments, over
// its real memory. It may be stopped for that; the host must go on.
func FuzzHost(f *testing.F) {
	m := load(f, Options{MemoryPages: 1024})
	f.Add([]byte{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{1, 20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		i := begin(t, m, "empty", 1)
		defer i.Release()
		i.begin(t.Context())
		for len(b) > 2 {
			h := hosts[int(b[0])%len(hosts)]
			fn := h.functions[int(b[1])%len(h.functions)]
			b = b[2:]
			stack := make([]uint64, max(len(fn.params), 1))
			for k := range fn.params {
				// Small numbers are descriptors, counts and low addresses; large ones lie outside.
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

// try calls a host function, and tells whether the guest is still alive.
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
