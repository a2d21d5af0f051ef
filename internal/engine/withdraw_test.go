package engine

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

func TestInvalidWithdrawalsAreErrors(t *testing.T) {
	t.Parallel()
	for _, head := range []string{`{}`, `{"call":0,"why":"deadline"}`, `{"call":3,"why":"deadline"}`, `{"call":-1,"why":"deadline"}`, `{"call":1}`, `{"call":1,"why":"bored"}`, `[]`} {
		if _, err := effect.ParseWithdraw(flawless.Call{N: 3, Kind: effect.Withdraw, Head: json.RawMessage(head)}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", head, err)
		}
	}
	h, err := effect.ParseWithdraw(flawless.Call{N: 3, Kind: effect.Withdraw, Head: json.RawMessage(`{"call":2,"why":"dropped","settle":true}`)})
	if err != nil || h != (effect.WithdrawHead{Call: 2, Why: "dropped", Settle: true}) {
		t.Errorf("got %+v, %v", h, err)
	}
}
