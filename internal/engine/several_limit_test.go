package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// distant is a database that takes a while to write.
type distant struct {
	store.KV
	by time.Duration
}

func (d *distant) Apply(ctx context.Context, b *store.Batch) error {
	time.Sleep(d.by)
	err := d.KV.Apply(ctx, b)
	time.Sleep(d.by)
	return err
}

// fan starts a run of an engine that makes n calls at once.
func fan(t *testing.T, e *Engine, prefix, host string, n int) string {
	t.Helper()
	id := idOf(e, prefix)
	mustStart(t, e, "fan", map[string]any{"url": "https://" + host, "n": n}, id)
	return id
}

// byServer counts the exchanges of runs whose ids begin with n0, n1 and so on.
func (x *exchanges) byServer(n int) (counts []int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	counts = make([]int, n)
	for _, run := range x.runs {
		for i := range counts {
			if strings.HasPrefix(run, fmt.Sprint("n", i)) {
				counts[i]++
			}
		}
	}
	return counts
}

// TestRateLimitHoldsOverServers: three servers with many calls share a limit, of which each has a part, and one of them
// crashes in the middle.
func TestRateLimitHoldsOverServers(t *testing.T) {
	for _, limit := range []struct {
		rate  string
		burst int
		spans map[time.Duration]int // the most calls in a time
		least int                   // in a minute and a half
	}{
		{"10/s", 0, map[time.Duration]int{time.Second: 10, 10 * time.Second: 100}, 880},
		{"1000/s", 0, map[time.Duration]int{10 * time.Millisecond: 10, time.Second: 1000}, 5500},
		{"60/m", 5, map[time.Duration]int{time.Second: 5 + 1, time.Minute: 60 + 5}, 85},
		{"6/m", 0, map[time.Duration]int{time.Minute: 6}, 8},
	} {
		t.Run(strings.ReplaceAll(limit.rate, "/", " per "), func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				x := &exchanges{}
				kv, m, all := several(t, 3, Options{Kinds: x.kinds()})
				mustLimit(t, all[0], "api.example.com", limit.rate, limit.burst)
				refresh(t, all...)
				for i, e := range all {
					for k := range 4 {
						fan(t, e, fmt.Sprint("n", i, "-", k), "api.example.com", 500)
					}
				}
				time.Sleep(30*time.Second + 30*time.Millisecond)
				synctest.Wait()
				all[1].Kill()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				joinMesh(t, kv, m, "node-3", Options{Kinds: x.kinds()}, shareOf(1, 3)...)
				time.Sleep(50 * time.Second)
				synctest.Wait()
				for _, e := range []*Engine{all[0], all[2], m.engines["node-3"]} {
					e.Kill()
				}
				for span, want := range limit.spans {
					if n := x.most(span); n > want {
						t.Errorf("there were %d calls in %v, the limit is %d", n, span, want)
					}
				}
				counts := x.byServer(3)
				if len(x.at) < limit.least {
					t.Errorf("there were %d calls in a minute and a half, which is less than there may be: %v", len(x.at), counts)
				}
				for i, n := range counts {
					if i != 1 && n < len(x.at)/5 {
						t.Errorf("server %d made %d of %d calls", i, n, len(x.at))
					}
				}
				t.Logf("calls of the servers: %v", counts)
			})
		})
	}
}

// TestServersTakeTurnsUnderALimit, although some write faster than others, and timers fire late. The limit is used up.
func TestServersTakeTurnsUnderALimit(t *testing.T) {
	for _, rate := range []string{"60/m", "10/s", "30/s", "300/s"} {
		t.Run(strings.ReplaceAll(rate, "/", " per "), func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				x := &exchanges{}
				var asked atomic.Int64
				o := Options{Kinds: x.kinds(), Now: func() time.Time { return time.Now().Add(time.Duration(asked.Add(1)%4) * time.Millisecond) }}
				kv, m, all := several(t, 3, o)
				mustLimit(t, all[0], "api.example.com", rate, 0)
				for i := range all {
					all[i].Kill()
					all[i] = joinMesh(t, &distant{kv, time.Duration(i*i*3) * time.Millisecond}, m, fmt.Sprint("distant-", i), o, shareOf(i, 3)...)
				}
				for i, e := range all {
					for k := range 8 {
						fan(t, e, fmt.Sprint("n", i, "-", k), "api.example.com", 500)
					}
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				for _, e := range all {
					e.Kill()
				}
				counts := x.byServer(3)
				n, period, err := flawless.ParseRate(rate)
				if may := n * int(30*time.Second/time.Millisecond) / int(period/time.Millisecond); err != nil || len(x.at) < may*8/10 || len(x.at) > may+2+may/50 {
					t.Errorf("there were %d calls, the limit allows %d", len(x.at), may)
				}
				for i, n := range counts {
					if n < len(x.at)/5 {
						t.Errorf("server %d made %d of %d calls", i, n, len(x.at))
					}
				}
				t.Logf("calls of the servers: %v", counts)
			})
		})
	}
}

// TestLimitsOfOtherServers: a limit that one server sets, changes or removes applies to the calls of another.
func TestLimitsOfOtherServers(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{}
		_, _, all := several(t, 2, Options{Kinds: x.kinds()})
		a, b := all[0], all[1]
		mustLimit(t, a, "api.example.com", "1/h", 0)
		refresh(t, b)
		id := fan(t, b, "n1-a", "api.example.com", 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := x.byServer(2)[1]; n != 1 {
			t.Errorf("under a limit that another server has set, there were %d calls", n)
		}
		mustLimit(t, a, "api.example.com", "1/m", 0)
		refresh(t, b)
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		if n := x.byServer(2)[1]; n != 3 && n != 4 {
			t.Errorf("under a limit that another server has changed, there were %d calls", n)
		}
		mustLimit(t, b, "api.example.com", "1/d", 0) // a does not know it
		if err := a.Limits().Remove(t.Context(), "api.example.com"); err != nil {
			t.Fatal(err)
		}
		refresh(t, b)
		if r := mustEnd(t, b, id); r.Status != flawless.Completed || len(b.Limits().List()) != 0 {
			t.Errorf("under a limit that another server has removed, the run is %+v", r)
		}
		mustLimit(t, b, "late.example.com", "1/d", 0)
		if err := errors.Join(a.Limits().Remove(t.Context(), "late.example.com"), b.Refresh(t.Context())); err != nil || len(b.Limits().List()) != 0 {
			t.Errorf("removing a limit that another server has set a moment ago: %v", err)
		}
		a.Kill()
		b.Kill()
	})
}
