package library

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/flawless-engine/flawless/internal/guest"
)

// TestCloseWhileModuleIsLoaded closes a library in the middle of a load, which then fails. The
// two must not wait for each other.
func TestCloseWhileModuleIsLoaded(t *testing.T) {
	t.Parallel()
	rt, err := guest.NewRuntime(t.Context(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	l := New(Options{Guest: rt, Go: func(f func()) { f() }})
	ctx, cancel := context.WithCancel(t.Context())
	bin := []byte("no module")
	loading, goOn, loaded, closed, free := make(chan bool), make(chan bool), make(chan *Module, 1), make(chan bool), make(chan bool)
	go func() {
		first := true
		loaded <- l.load(ctx, guest.Digest(bin), func() ([]byte, error) { return bin, nil }, func(string, float64) {
			if first {
				first = false
				loading <- true
				<-goOn
			}
		})
	}()
	<-loading
	cancel()
	go func() {
		l.Close()
		close(closed)
	}()
	go func() {
		for l.Count() > 0 {
			runtime.Gosched()
		}
		close(free)
	}()
	select {
	case <-free:
	case <-time.After(10 * time.Second):
		close(goOn)
		t.Fatal("closing keeps the lock while it waits for a module that is being loaded")
	}
	close(goOn)
	if m := <-loaded; m.err == nil {
		t.Error("the load did not fail")
	}
	<-closed
}
