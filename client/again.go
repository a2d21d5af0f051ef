package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/flawless-engine/flawless"
)

// Lost is the error of a request whose answer was lost: the server may have carried it out. The text says how to find
// out.
const Lost = flawless.Lost

// defaultPatience is the default of Options.Patience.
const defaultPatience = time.Minute

// again says what to do if the answer of a request is lost. The zero value is for reads: the caller gets the error.
// Every other request must set it.
type again struct {
	// same is set if repeating the request is safe, and says why: "with the id X".
	same string
	// check says what a person must do before repeating the request. With same, it applies once the client has given up.
	// It is "" for a request that changes nothing.
	check string
}

// known is for a request that the server recognises by a key.
func known(what, flag, key, twice string) again {
	return again{same: fmt.Sprintf("with the %s %s", what, key), check: fmt.Sprintf("repeat it with the %s %s (%s), which %s", what, key, flag, twice)}
}

// reads is for a request that changes nothing. A GET does not need it: it is repeated only if it waits for something.
func reads() again { return again{same: "which changes nothing"} }

// harmless is for a request that changes nothing when it is repeated.
func harmless() again {
	return again{same: "which is safe", check: "it is safe to repeat it"}
}

// unique is for a request that must not be repeated before somebody has checked.
func unique(format string, args ...any) again { return again{check: fmt.Sprintf(format, args...)} }

// unknown returns the error of a request that the server may have carried out.
func (a again) unknown(err error) error {
	if a.check == "" {
		return err
	}
	return fmt.Errorf("%w; the server may have carried out the request: %s: %w", err, a.check, Lost)
}

// broken is the error of an exchange without an answer. It wraps Unreachable.
type broken struct {
	base string
	err  error
	sent bool // the server may have received the request
}

func (b *broken) Error() string {
	if b.sent {
		return fmt.Sprintf("lost the connection to the server at %s: %v", b.base, b.err)
	}
	return fmt.Sprintf("no server answers at %s: %v", b.base, b.err)
}

func (b *broken) Unwrap() error { return Unreachable }

// unsent reports whether a transport failed before it sent the request.
func unsent(err error) bool {
	var op *net.OpError
	var handshake *quic.HandshakeTimeoutError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &handshake)
}

// persist calls try, and calls it again if its answer was lost and repeating is safe, until the server answers or the
// client's patience ends. try reports whether it made progress. If the server could not be reached at all the first
// time, the error is returned at once.
func (c *Client) persist(ctx context.Context, a again, try func() (further bool, err error)) error {
	var since time.Time
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		further, err := try()
		var b *broken
		lost := errors.As(err, &b) && (b.sent || !since.IsZero())
		switch stopping := errors.Is(err, flawless.Stopping); {
		case err == nil:
			return nil
		case ctx.Err() != nil && (b != nil || errors.Is(err, ctx.Err())):
			return a.unknown(ctx.Err())
		case !lost && !stopping:
			return err
		case a.same == "" || c.patience < 0 || !further && !since.IsZero() && time.Since(since) > c.patience:
			return a.unknown(err)
		}
		if since.IsZero() && c.options.Repeating != nil {
			c.options.Repeating(fmt.Errorf("%w; repeating the request for up to %v, %s", err, c.patience, a.same))
		}
		if further || since.IsZero() {
			since = time.Now()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return a.unknown(ctx.Err())
		}
	}
}

// do makes a request and decodes the JSON response.
func do[T any](ctx context.Context, c *Client, r request) (out T, err error) {
	err = c.persist(ctx, r.again, func() (bool, error) {
		resp, err := c.send(ctx, r)
		if err == nil {
			out, err = document[T](resp, nil)
		}
		return false, err
	})
	return out, err
}

// listen makes a request and calls take with the events of the response until take returns true. A stream that ends
// before that counts as lost.
func (c *Client) listen(ctx context.Context, r func() request, take func(e event) (done bool, err error)) error {
	return c.persist(ctx, r().again, func() (further bool, err error) {
		resp, err := c.send(ctx, r())
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		for e, err := range events(resp.Body) {
			if err != nil {
				return further, &broken{c.base, err, true}
			}
			if e.name == "problem" {
				return further, refusal(http.StatusInternalServerError, e.data)
			}
			done, err := take(e)
			if done || err != nil {
				return true, err
			}
			further = true
		}
		return further, &broken{c.base, errCut, true}
	})
}
