package store

import (
	"context"
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// KeyTransfer is the key of the only [Transfer] of a database.
func KeyTransfer() []byte { return key.Transfer.Key() }

// Transfer says that the contents of a database belong to another one, see [kv.Transfer].
type Transfer = kv.Transfer

// TransferOf returns the transfer that a database is part of, or nil, and the stored bytes of its row.
func TransferOf(ctx context.Context, kv KV) (*Transfer, []byte, error) {
	c, err := codec.New()
	if err != nil {
		return nil, nil, err
	}
	value, err := kv.Get(ctx, KeyTransfer())
	if errors.Is(err, flawless.NotFound) {
		return nil, nil, nil
	}
	t := new(Transfer)
	if err == nil {
		err = c.Decode(value, t)
	}
	if err != nil {
		return nil, nil, reading(KeyTransfer(), err, "the row that says whether the store was moved")
	}
	return t, value, nil
}
