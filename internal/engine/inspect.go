package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
)

// Inspect returns what a run was after a turn, from a replay; turn 0 is the last one. Where against is
// not zero the memory is compared with that after that turn. It touches neither the outside nor the
// run.
func (e *Engine) Inspect(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	var out flawless.Inspection
	err := e.examine(ctx, id, nil, func(m *guest.Module, _ store.Head) (err error) {
		out, err = replay.Inspect(ctx, m, id, e.store.Log(ctx, id, 0), e.kinds, turn, against)
		return err
	})
	if err != nil {
		return flawless.Inspection{}, fmt.Errorf("inspecting run %s: %w", id, err)
	}
	return out, nil
}
