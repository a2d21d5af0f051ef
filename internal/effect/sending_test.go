package effect_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestSendingEndsBetweenTwoWrites: a server reads slowly, and the lease of the sender ends when it has read a part. What it
// has not read by then never comes, although the system had more of it.
func TestSendingEndsBetweenTwoWrites(t *testing.T) {
	t.Parallel()
	const size, part = 16 << 20, 64 << 10
	var ended atomic.Bool
	read := make(chan int)
	addr := rawServer(t, func(c net.Conn) {
		n, b := 0, make([]byte, part)
		for {
			m, err := c.Read(b)
			if n += m; n >= part {
				ended.Store(true)
			}
			if err != nil {
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("after %d bytes the server gets %v", n, err)
				}
				read <- n
				return
			}
		}
	})
	writes := 0
	sending := func(first bool) error {
		if first != (writes == 0) {
			t.Errorf("write %d is the first: %v", writes, first)
		}
		if writes++; ended.Load() {
			return errors.New("the lease has ended")
		}
		return nil
	}
	client := effect.NewClient(effect.ClientOptions{}, nil)
	defer client.Close()
	r := client.Perform(t.Context(), effect.Attempt{Run: "run", N: 1, Call: call(strings.Repeat("x", size), "method", "PUT", "url", "http://"+addr+"/"), Sending: sending})
	if r.Outcome != effect.Unknown || !strings.Contains(r.Text, "the lease has ended") {
		t.Errorf("the outcome is %v: %s", r.Outcome, r.Text)
	}
	if n := <-read; n >= size {
		t.Error("the server has got the whole request")
	}
}

// TestNothingIsSentAgainstSending also when the connection is kept, or the body is large.
func TestNothingIsSentAgainstSending(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", strings.Repeat("x", 1<<20)} {
		got := make(chan int64, 1)
		addr := rawServer(t, func(c net.Conn) {
			n, _ := io.Copy(io.Discard, c)
			got <- n
		})
		client := effect.NewClient(effect.ClientOptions{}, nil)
		r := client.Perform(t.Context(), effect.Attempt{Run: "run", N: 1, Call: call(body, "method", "POST", "url", "http://"+addr+"/"),
			Sending: func(bool) error { return errors.New("the lease has ended") }})
		if r.Outcome != effect.NotSent || !strings.Contains(r.Text, "the lease has ended") {
			t.Errorf("%d bytes: the outcome is %v: %s", len(body), r.Outcome, r.Text)
		}
		if n := <-got; n != 0 {
			t.Errorf("%d bytes: the server has got %d", len(body), n)
		}
		client.Close()
	}
}

// TestCutOff resets the connection, so that nothing leaves that the system has.
func TestCutOff(t *testing.T) {
	t.Parallel()
	arrived, broke := make(chan struct{}), make(chan error, 1)
	addr := rawServer(t, func(c net.Conn) {
		b := make([]byte, 1<<10)
		_, _ = c.Read(b)
		close(arrived)
		_, err := c.Read(b)
		broke <- err
	})
	client := effect.NewClient(effect.ClientOptions{}, nil)
	defer client.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(effect.ErrCutOff)
	}()
	r := client.Perform(ctx, effect.Attempt{Run: "run", N: 1, Call: call("x", "method", "PUT", "url", "http://"+addr+"/")})
	if r.Outcome != effect.Unknown {
		t.Errorf("the outcome is %v: %s", r.Outcome, r.Text)
	}
	if err := <-broke; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server gets %v", err)
	}
}
