package rewrite

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// compute is the Go guest under testdata/guest, compiled once.
var compute = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "rewrite")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

func guestBytes(t testing.TB) []byte {
	t.Helper()
	bin, err := compute()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// production is about what the engine uses.
var production = Options{Offered: all, Quantum: 1 << 20, Depth: 100_000}

// launch starts a Go guest as it was built, or rewritten if o is not nil.
func launch(t testing.TB, bin []byte, o *Options, config wazero.RuntimeConfig) *host {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { _ = r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	h := &host{}
	quiet := wazero.NewModuleConfig().WithStartFunctions()
	var err error
	if o == nil {
		h.Module, err = r.InstantiateWithConfig(ctx, bin, quiet)
	} else {
		h.r, err = Rewrite(bin, *o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.NewHostModuleBuilder("flawless").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
			h.calls++
			m.ExportedGlobal(h.r.Units).(api.MutableGlobal).Set(uint64(o.Quantum))
		}), nil, nil).Export("quantum").Instantiate(ctx)
		if err != nil {
			t.Fatal(err)
		}
		h.Module, err = r.InstantiateWithConfig(ctx, h.r.Binary, quiet)
	}
	if err != nil {
		t.Fatal(err)
	}
	if h.r != nil {
		for _, s := range h.r.Data {
			h.Memory().Write(s.Offset, s.Bytes)
		}
	}
	h.call(t, "_initialize")
	return h
}

func (h *host) call(t testing.TB, name string, args ...uint64) []uint64 {
	t.Helper()
	got, err := h.ExportedFunction(name).Call(context.Background(), args...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return got
}

// BenchmarkCompute compares a Go guest with its rewritten form.
func BenchmarkCompute(b *testing.B) {
	bin := guestBytes(b)
	for _, row := range []struct {
		name string
		arg  uint64
	}{{"fib", 25}, {"sha", 1024}, {"json", 100}, {"floats", 100_000}} {
		for _, kind := range []string{"as built", "rewritten"} {
			b.Run(row.name+"/"+kind, func(b *testing.B) {
				var o *Options
				if kind == "rewritten" {
					o = &production
				}
				h := launch(b, bin, o, wazero.NewRuntimeConfigCompiler())
				f := h.ExportedFunction(row.name)
				h.call(b, row.name, row.arg)
				h.calls = 0
				stack := make([]uint64, 1)
				for b.Loop() {
					stack[0] = row.arg
					if err := f.CallWithStack(context.Background(), stack); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(h.calls)/float64(b.N), "quanta/op")
			})
		}
	}
}
