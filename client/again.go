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

// Lost is the error of a request whose answer never came: the server may have done what it asked for. The
// text says how to find out.
const Lost flawless.Code = "the answer was lost"

// defaultPatience is how long a request is repeated.
const defaultPatience = time.Minute

// again says what becomes of a request whose answer is lost. The zero value is for reads: the caller gets the
// error. Every other request has to say one or the other.
type again struct {
	// same is set where repeating the request does no harm, and says what makes it so: "with the id X".
	same string
	// check is what a person does before asking again. Where same is set, it is for when the client gave up.
	// A request that changes nothing has none.
	check string
}

// known are requests that the server recognizes by a key of theirs.
func known(what, flag, key, twice string) again {
	return again{same: fmt.Sprintf("with the %s %s", what, key), check: fmt.Sprintf("repeat it with the %s %s (%s), which %s", what, key, flag, twice)}
}

// reads are requests that change nothing. Those by GET need not say so: they are repeated only where they wait
// for something.
func reads() again { return again{same: "which changes nothing"} }

// harmless are requests that change nothing when they are repeated.
func harmless() again {
	return again{same: "which is safe", check: "it is safe to repeat it"}
}

// unique are requests that must not be repeated before somebody has looked.
func unique(format string, args ...any) again { return again{check: fmt.Sprintf(format, args...)} }

// unknown is the error of a request that the server may have carried out, or not.
func (a again) unknown(err error) error {
	if a.check == "" {
		return err
	}
	return fmt.Errorf("%w; the server may have carried out the request: %s: %w", err, a.check, Lost)
}

// broken is an exchange without an answer. It wraps Unreachable.
type broken struct {
	base string
	err  error
	sent bool // the server may have got it
}

func (b *broken) Error() string {
	if b.sent {
		return fmt.Sprintf("lost the connection to the server at %s: %v", b.base, b.err)
	}
	return fmt.Sprintf("no server answers at %s: %v", b.base, b.err)
}

func (b *broken) Unwrap() error { return Unreachable }

// unsent tells whether an error of a transport came before the request was sent.
func unsent(err error) bool {
	var op *net.OpError
	var handshake *quic.HandshakeTimeoutError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &handshake)
}

// persist calls try, and repeats it where its answer was lost and that does no harm: until the server answers,
// or the client's patience is over. try tells whether it has come further than the time before. Where the
// server was not there at first it was asked for nothing, and the error is returned at once.
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

// do makes a request and returns the document that comes back.
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

// listen makes a request and calls take with the events that come back, until take returns true. What breaks
// off before that is lost.
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
