package library

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/flawless-engine/flawless/internal/guest"
)

// TestCloseWaitsForModuleThatFails checks that a library that is closed while a module is compiled lets it fail.
func TestCloseWaitsForModuleThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Guest: new(guest.Runtime)})
		read, unreadable := make(chan struct{}), errors.New("no such file")
		loaded, closed := make(chan error, 1), make(chan struct{})
		go func() {
			loaded <- l.load(t.Context(), guest.Digest(nil), func() ([]byte, error) {
				<-read
				return nil, unreadable
			}, nil).err
		}()
		synctest.Wait()
		go func() {
			defer close(closed)
			l.Close()
		}()
		synctest.Wait()
		if !l.mu.TryLock() {
			t.Fatal("the list of modules is locked while Close waits for a module")
		}
		l.mu.Unlock()
		close(read)
		if err := <-loaded; !errors.Is(err, unreadable) {
			t.Errorf("loading: %v, want %v", err, unreadable)
		}
		<-closed
	})
}
