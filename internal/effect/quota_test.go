package effect_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestCallsWaitForAConnection makes calls to 30 servers over four connections. None fails, no more than four are open
// at a time, and idle ones are closed for others.
func TestCallsWaitForAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		var open, most atomic.Int64
		c := effect.NewClient(effect.ClientOptions{Connections: 4, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := p.dial(ctx, network, addr)
			most.Store(max(most.Load(), open.Add(1)))
			return &closing{Conn: conn, closed: sync.OnceFunc(func() { open.Add(-1) })}, err
		}}, nil)
		defer c.Close()
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				if r := post(c, fmt.Sprintf("http://server%d/", i), 30*time.Second); r.Outcome != effect.Answered {
					t.Errorf("call %d: %+v", i, r)
				}
			})
		}
		all.Wait()
		if n := most.Load(); n > 4 {
			t.Errorf("%d connections were open at a time", n)
		}
	})
}

// closing reports when a connection is closed.
type closing struct {
	net.Conn
	closed func()
}

func (c *closing) Close() error {
	c.closed()
	return c.Conn.Close()
}

// TestCallWithoutConnectionIsNotSent checks that a call whose time-out passes while it waits for a connection is not
// sent.
func TestCallWithoutConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		var dialed atomic.Int32
		c := effect.NewClient(effect.ClientOptions{Connections: 1, Dial: func(context.Context, string, string) (net.Conn, error) {
			dialed.Add(1)
			return here, nil // nobody answers
		}}, nil)
		defer c.Close()
		first := make(chan effect.Result, 1)
		go func() { first <- post(c, "http://one/", 60*time.Second) }()
		synctest.Wait()
		if r := post(c, "http://two/", 5*time.Second); r.Outcome != effect.NotSent {
			t.Errorf("it is %+v", r)
		}
		if n := dialed.Load(); n != 1 {
			t.Errorf("%d connections were made", n)
		}
		<-first
	})
}

// TestDialIsRetriedWithoutFileDescriptors checks that a call does not fail because too many files are open for a
// moment.
func TestDialIsRetriedWithoutFileDescriptors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		refuse := 3
		c := effect.NewClient(effect.ClientOptions{Connections: 4, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if refuse--; refuse >= 0 {
				return nil, &net.OpError{Op: "dial", Err: syscall.EMFILE}
			}
			return p.dial(ctx, network, addr)
		}}, nil)
		defer c.Close()
		began := time.Now()
		if r := post(c, "http://server/", 30*time.Second); r.Outcome != effect.Answered {
			t.Errorf("after %v: %+v", time.Since(began), r)
		}
	})
}

// post performs a POST of run r.
func post(c *effect.Client, url string, timeout time.Duration) effect.Result {
	return c.Perform(context.Background(), effect.Attempt{Run: "r", N: 1,
		Call: call("x", "method", "POST", "url", url, "timeout_ms", int(timeout.Milliseconds()))})
}
