//go:build !next

package main

import (
	"context"
	"fmt"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// write sends a mail to a customer.
func write(ctx context.Context, to, text string) error {
	_, err := flawless.PostJSON[any](ctx, "http://mail.example/messages", map[string]string{"to": to, "text": text})
	if err != nil {
		return fmt.Errorf("write to %s: %w", to, err)
	}
	return nil
}
