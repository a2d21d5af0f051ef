package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestSleepersWakeInVirtualTime: a month of sleep, with the server down for a week of it.
func TestSleepersWakeInVirtualTime(t *testing.T) {
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	synctest.Test(t, func(t *testing.T) {
		kv := mem.New()
		began := time.Now()
		e := open(t, kv, Options{})
		for _, id := range []string{"a", "b"} {
			mustStart(t, e, "sleep", 30, id)
		}
		time.Sleep(10*24*time.Hour + time.Hour)
		e.Kill()
		time.Sleep(7 * 24 * time.Hour) // the server is down
		e = open(t, kv, Options{})
		r, err := e.Wait(context.Background(), "a")
		if err != nil || r.Status != flawless.Completed {
			t.Fatalf("it is %+v, %v", r, err)
		}
		if d := time.Since(began); d < 36*24*time.Hour || d > 37*24*time.Hour {
			t.Errorf("30 days of sleep and 7 of downtime took %v", d)
		}
		if r, err = e.Wait(context.Background(), "b"); err != nil || r.Status != flawless.Completed {
			t.Errorf("it is %+v, %v", r, err)
		}
		if err := e.verify(context.Background(), "a"); err != nil {
			t.Errorf("the replay: %v", err)
		}
		e.Kill()
	})
}
