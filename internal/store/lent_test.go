package store_test

import (
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// TestNothingLentIsKept runs the suite over a database that overwrites what it lends.
func TestNothingLentIsKept(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.KV { return storetest.Lent(mem.New()) })
}
