package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// direct reaches one Endpoint, or fails with err.
type direct struct {
	to  *Endpoint
	err error
}

func (d *direct) Ask(ctx context.Context, _ store.Shard, op string, request []byte) ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	return d.to.Serve(ctx, op, request)
}

const opDouble Op[int, int] = "double"

// TestOwnWordAndNothingElse: an answer and a refusal of the owner arrive as they are, and every other error means that another
// one has to be asked.
func TestOwnWordAndNothingElse(t *testing.T) {
	t.Parallel()
	peers := &direct{}
	owner, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	asks, err := New(peers)
	if err != nil {
		t.Fatal(err)
	}
	var refusal error
	opDouble.Handle(owner, func(_ context.Context, in int) (int, error) { return 2 * in, refusal })
	peers.to = owner
	if out, err := opDouble.Ask(t.Context(), asks, 1, 21); out != 42 || err != nil {
		t.Errorf("the answer is %d, %v", out, err)
	}
	for _, row := range []struct {
		name             string
		refused, reached error
		want             error
	}{
		{"the owner has nothing", fmt.Errorf("no: %w", flawless.NotFound), nil, flawless.NotFound},
		{"the owner refuses", fmt.Errorf("no: %w", flawless.Conflict), nil, flawless.Conflict},
		{"the owner stops", fmt.Errorf("no: %w", flawless.Stopping), nil, flawless.Elsewhere},
		{"the connection breaks", nil, errors.New("broken pipe"), flawless.Elsewhere},
	} {
		refusal, peers.err = row.refused, row.reached
		if _, err := opDouble.Ask(t.Context(), asks, 1, 21); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
	refusal, peers.err = nil, nil
	if _, err := Op[int, int]("triple").Ask(t.Context(), asks, 1, 21); flawless.CodeOf(err) != flawless.Elsewhere {
		t.Errorf("an unknown operation: %v", err)
	}
	if _, err := Op[string, int]("double").Ask(t.Context(), asks, 1, "x"); flawless.CodeOf(err) != flawless.Elsewhere {
		t.Errorf("a request that cannot be read: %v", err)
	}
	if _, err := Op[int, string]("double").Ask(t.Context(), asks, 1, 21); flawless.CodeOf(err) != flawless.Elsewhere || errors.Is(err, flawless.Damaged) {
		t.Errorf("an answer that cannot be read: %v", err)
	}
	if _, err := opDouble.Ask(t.Context(), owner, 1, 21); flawless.CodeOf(err) != flawless.Elsewhere {
		t.Errorf("without others: %v", err)
	}
}
