package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// sleepOn lets a run sleep for days, of which so many in the hands of a first server, and returns the
// second one, which finds the run as damage left it.
func sleepOn(t *testing.T, how Options, days, first int, damage func(kv store.KV)) *Engine {
	t.Helper()
	kv := mem.New()
	e := open(t, kv, how)
	mustStart(t, e, "sleep", days, "run")
	time.Sleep(time.Duration(first)*24*time.Hour + time.Hour)
	e.Kill()
	if damage != nil {
		damage(kv)
	}
	e = open(t, kv, how)
	r, err := e.Wait(context.Background(), "run")
	if err != nil || r.Status != flawless.Completed {
		t.Fatalf("it is %+v, %v", r, err)
	}
	if r.Turns != days+1 {
		t.Errorf("it took %d turns, want %d", r.Turns, days+1)
	}
	if err := e.verify(context.Background(), "run"); err != nil {
		t.Errorf("the replay: %v", err)
	}
	return e
}

// inVirtualTime runs f in a bubble where waiting costs nothing.
func inVirtualTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	synctest.Test(t, f)
}

func TestLongLogResumesFromLastImage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := sleepOn(t, Options{Freezing: Freezing{Turns: 5}, Rest: time.Hour}, 24, 21, nil)
		defer e.Kill()
		if e.Health().Thawed == 0 || e.Health().Replayed != 0 || e.Health().Fallbacks != 0 {
			t.Errorf("thawed %d, replayed %d, fell back %d", e.Health().Thawed, e.Health().Replayed, e.Health().Fallbacks)
		}
		if _, err := e.store.Image(context.Background(), "run"); err == nil {
			t.Error("the image of a run that has ended is kept")
		}
	})
}

func TestSleepingRunLeavesMemory(t *testing.T) {
	for name, row := range map[string]struct {
		how            Freezing
		thawed, frozen bool
	}{
		"worth an image":     {Freezing{Units: 1}, true, true},
		"not worth an image": {Freezing{}, false, false},
		"never":              {Freezing{Never: true, Units: 1}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				e := open(t, mem.New(), Options{Freezing: row.how})
				defer e.Kill()
				mustStart(t, e, "sleep", 3, "run")
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := inMemory(e); n != 0 {
					t.Errorf("%d guests are in memory", n)
				}
				r, err := e.Wait(context.Background(), "run")
				if err != nil || r.Status != flawless.Completed || string(r.Output) != `"72h0m0s"` {
					t.Fatalf("it is %+v, %v", r, err)
				}
				if thawed, frozen := e.Health().Thawed > 0, e.Health().Frozen > 0; thawed != row.thawed || frozen != row.frozen {
					t.Errorf("thawed %v, frozen %v", thawed, frozen)
				}
			})
		})
	}
}

func TestUnusableImageFallsBackToReplay(t *testing.T) {
	change := func(t *testing.T, f func(m *store.Image)) func(kv store.KV) {
		return func(kv store.KV) {
			s, err := store.Open(t.Context(), kv)
			if err != nil {
				t.Fatal(err)
			}
			l, err := s.Claim(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Image(t.Context(), "run")
			if err != nil {
				t.Fatal(err)
			}
			f(&m)
			if err := s.PutImage(t.Context(), l, "run", m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(t *testing.T) func(kv store.KV){
		"guest of another format": func(t *testing.T) func(store.KV) { return change(t, func(m *store.Image) { m.Guest[0]++ }) },
		"guest damaged": func(t *testing.T) func(store.KV) {
			return change(t, func(m *store.Image) { m.Guest[len(m.Guest)-1]++ })
		},
		"no guest":      func(t *testing.T) func(store.KV) { return change(t, func(m *store.Image) { m.Guest = nil }) },
		"state damaged": func(t *testing.T) func(store.KV) { return change(t, func(m *store.Image) { m.State = m.State[1:] }) },
		"state of another format": func(t *testing.T) func(store.KV) {
			return change(t, func(m *store.Image) { m.State = []byte(`{"Format":99}`) })
		},
		"value damaged": func(t *testing.T) func(store.KV) {
			return func(kv store.KV) {
				if err := kv.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: rowOf('f', "run"), Value: []byte("nonsense")}}}); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				e := sleepOn(t, Options{Freezing: Freezing{Turns: 2}, Rest: time.Hour}, 5, 3, damage(t))
				defer e.Kill()
				if e.Health().Fallbacks == 0 {
					t.Error("the image was of use")
				}
			})
		})
	}
}

func TestGuestsLeaveWhenMemoryIsTight(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var taken atomic.Int64
		e := open(t, mem.New(), Options{Rest: time.Hour, Memory: 1000, resident: taken.Load})
		defer e.Kill()
		mustStart(t, e, "sleep", 1, "run")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := inMemory(e); n != 1 {
			t.Fatalf("%d guests are in memory while there is room", n)
		}
		taken.Store(1001)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := inMemory(e); n != 0 {
			t.Errorf("%d guests are in memory while it is tight", n)
		}
		if r, err := e.Wait(context.Background(), "run"); err != nil || r.Status != flawless.Completed {
			t.Errorf("it is %+v, %v", r, err)
		}
	})
}
