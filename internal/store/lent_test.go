package store_test

import (
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// TestLentItemsAreCopied runs the suite over a database that overwrites the items of a scan when the next one is yielded.
func TestLentItemsAreCopied(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.KV { return storetest.Lent(mem.New()) })
}
