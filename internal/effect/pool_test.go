package effect_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/internal/effect"
)

// pipes is a server on net.Pipe, for virtual time.
type pipes struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	dialed int
	open   int
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.mu.Lock()
	p.dialed++
	p.open++
	p.mu.Unlock()
	p.wg.Go(func() {
		in := bufio.NewReader(there)
		for {
			if _, _, ok := readRequest(in); !ok {
				break
			}
			_, _ = io.WriteString(there, plainOK)
		}
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	})
	return here, nil
}

func (p *pipes) counts() [2]int {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return [2]int{p.dialed, p.open}
}

func TestIdleConnectionsByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		c := effect.NewClient(effect.ClientOptions{Dial: p.dial}, nil)
		for _, step := range []struct {
			name   string
			wait   time.Duration
			method string
			want   [2]int // connections dialled, and open
		}{
			{"the first", 0, "POST", [2]int{1, 1}},
			{"post after a second", time.Second, "POST", [2]int{1, 1}},
			{"post after three", 3 * time.Second, "POST", [2]int{2, 2}},
			{"get after a minute", time.Minute, "GET", [2]int{2, 2}},
			{"get after two", 2 * time.Minute, "GET", [2]int{3, 1}},
		} {
			time.Sleep(step.wait)
			r := c.Perform(t.Context(), effect.Attempt{Run: "r", Call: call("x", "method", step.method, "url", "http://h/"), N: 1})
			if r.Outcome != effect.Answered {
				t.Fatalf("%s: %s", step.name, r.Text)
			}
			if got := p.counts(); got != step.want {
				t.Errorf("%s: %d connections dialled and open, want %d", step.name, got, step.want)
			}
		}
		c.Close()
		p.wg.Wait()
	})
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		c := effect.NewClient(effect.ClientOptions{Dial: p.dial, Idle: 3}, nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				c.Perform(t.Context(), effect.Attempt{Run: "r", Call: call("x", "method", "POST", "url", "http://h/"), N: 1})
			})
		}
		wg.Wait()
		if got := p.counts(); got[1] > 3 {
			t.Errorf("%d connections are open, want 3 at most", got[1])
		}
		c.Close()
		p.wg.Wait()
	})
}

func TestTimeoutIncludesConnecting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var wg sync.WaitGroup
		c := effect.NewClient(effect.ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(100 * time.Second)
			here, there := net.Pipe()
			wg.Go(func() { _, _ = io.Copy(io.Discard, there) })
			return here, nil
		}}, nil)
		r := c.Perform(t.Context(), effect.Attempt{Run: "r", Call: call("x", "method", "POST", "url", "http://h/"), N: 1})
		if took := time.Since(begun); r.Outcome != effect.Unknown || took != 120*time.Second {
			t.Errorf("outcome %d after %v: %s", r.Outcome, took, r.Text)
		}
		wg.Wait()
		c.Close()
	})
}
