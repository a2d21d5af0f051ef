// Package local does without a server what commands can do in their own process: replay exported runs, check a
// module against them, and answer the requests of a workflow under test.
//
// It stores nothing but compiled code, in the cache of the user, and sends nothing, except to the server that
// --upstream names. Values that a server would mask are masked here, see [Masked].
package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
)

// NewRuntime returns a runtime for guests that keeps compiled code in the cache directory of the user.
func NewRuntime(ctx context.Context) (*guest.Runtime, error) {
	o := guest.Options{}
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "flawless", "compiled")
	}
	rt, err := guest.NewRuntime(ctx, o)
	if err != nil && o.CacheDir != "" {
		rt, err = guest.NewRuntime(ctx, guest.Options{}) // the directory is not writable: keep nothing
	}
	return rt, err
}

// ReadModule reads a module file. It returns nil if file is empty.
func ReadModule(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	bin, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the module: %v: %w", err, flawless.Invalid)
	}
	if len(bin) == 0 {
		return nil, fmt.Errorf("the module file %s is empty: %w", file, flawless.Invalid)
	}
	return bin, nil
}

// Masked returns v with sensitive values masked, as a server does before it answers. The hashes that stand for
// them can be compared within this process only.
func Masked[T any](v T) T {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	m, err := redact.NewMask(key)
	if err != nil {
		panic("flawless: cannot redact the sensitive headers: " + err.Error())
	}
	return redact.Shown(m, v)
}
