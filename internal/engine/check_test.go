package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/scrub"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// filed is a database that says it has files, one of which may be damaged.
type filed struct {
	*mem.DB
	bad    []store.BadFile
	took   time.Duration // for a check
	checks atomic.Int32
	rate   atomic.Int64
}

// CheckFiles implements store.FileChecker.
func (f *filed) CheckFiles(ctx context.Context, o store.CheckFiles) ([]store.BadFile, error) {
	f.checks.Add(1)
	o.Progress(3, 10)
	select {
	case <-time.After(f.took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.rate.Store(o.Rate())
	o.Progress(10, 10)
	return f.bad, nil
}

func (f *filed) open(t *testing.T) *Engine {
	t.Helper()
	s, err := store.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), Options{Store: s, Guest: fixture().runtime, Loaded: []*guest.Module{fixture().module}, Kinds: effect.Kinds(effect.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestDamageIsFoundAndRemembered: the damaged part was never read, and health says so soon after the start and at
// once after the next one, until a check finds the store whole.
func TestDamageIsFoundAndRemembered(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		kv := &filed{DB: mem.New(), took: time.Minute}
		e := kv.open(t)
		if _, _, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
			t.Fatal(err)
		}
		mustStart(t, e, "empty", nil, "order-7")
		mustEnd(t, e, "order-7")
		kv.bad = []store.BadFile{{Name: "000042.sst", Reason: "bad", From: []byte("r"), To: []byte("s")}}
		if h := e.Health(); h.State != "ok" || h.Check == nil || h.Check.Ended != nil || kv.checks.Load() != 0 {
			t.Errorf("at the start: %+v, %+v", h, h.Check)
		}
		time.Sleep(scrub.After + time.Second)
		if h := e.Health(); h.State != "ok" || !h.Check.Running || h.Check.Read != 3 || h.Check.Total != 10 {
			t.Errorf("while it is checked: %+v, %+v", h, h.Check)
		}
		time.Sleep(kv.took)
		h := e.Health()
		if h.State != "damaged" || !strings.Contains(h.Message, "000042.sst") || !strings.Contains(h.Message, "flawless store check") || h.Check.Running || h.Check.Damaged != 1 || h.Check.Ended == nil {
			t.Errorf("after it was checked: %+v, %+v", h, h.Check)
		}
		if r := kv.rate.Load(); r != scrub.BackgroundRate {
			t.Errorf("it was checked with %d bytes a second", r)
		}
		c, err := e.StoreCheck()
		if err != nil || len(c.Damaged) != 1 || len(c.Affected) != 1 || c.Affected[0].Name != "order-7" || c.Affected[0].Part != "log" || !c.Affected[0].Readable {
			t.Errorf("the check has found %+v, %v", c, err)
		}
		e.Kill()

		e = kv.open(t)
		defer func() { e.Kill() }()
		if h := e.Health(); h.State != "damaged" || h.Check.Running || !strings.Contains(h.Message, "000042.sst") {
			t.Errorf("after a restart: %+v, %+v", h, h.Check)
		}
		time.Sleep(scrub.After + time.Second)
		if err := e.Close(t.Context()); err != nil { // in the middle of a check, which forgets nothing
			t.Fatal(err)
		}
		e = kv.open(t)
		if h := e.Health(); h.State != "damaged" {
			t.Errorf("after a check was interrupted: %+v, %+v", h, h.Check)
		}
		kv.bad = nil // it was restored
		if c, err := e.CheckStore(); err != nil || !c.Running || len(c.Damaged) != 1 {
			t.Errorf("a check that was asked for: %+v, %v", c, err)
		}
		before := kv.checks.Load()
		time.Sleep(kv.took + time.Second)
		if h := e.Health(); h.State != "ok" || h.Check.Damaged != 0 || kv.rate.Load() != scrub.RequestedRate || kv.checks.Load() > before+1 {
			t.Errorf("after it was found to be whole: %+v, %+v; %d bytes a second, %d checks", h, h.Check, kv.rate.Load(), kv.checks.Load())
		}
		before = kv.checks.Load()
		time.Sleep(3*scrub.Every + time.Hour)
		if n := kv.checks.Load() - before; n != 3 {
			t.Errorf("%d checks in three days", n)
		}
		synctest.Wait()
	})
}

func TestStoreWithoutFilesIsNotChecked(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	if _, err := e.CheckStore(); !errors.Is(err, flawless.Invalid) || e.Health().Check != nil {
		t.Errorf("checking a store in memory: %v, health %+v", err, e.Health())
	}
}

// TestFullDiskIsReportedFromTheStart: the engine need not have looked at it before.
func TestFullDiskIsReportedFromTheStart(t *testing.T) {
	t.Parallel()
	e, err := reopen(t, mem.New(), Options{Space: usedUp{}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	if h := e.Health(); h.State != "full" || !strings.Contains(h.Message, "free some space") {
		t.Errorf("health right after the start: %+v", h)
	}
}

// usedUp is a disk without any space.
type usedUp struct{}

// Full implements store.Spacer.
func (usedUp) Full() (bool, string) { return true, "the disk is full: free some space" }

// TestCheckCorrectsCounts: a check compares the counts of runs with the runs, and says of which modules they were wrong.
func TestCheckCorrectsCounts(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		kv := &filed{DB: mem.New()}
		e := kv.open(t)
		defer e.Kill()
		if _, _, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b"} {
			mustStart(t, e, "empty", nil, id)
			mustEnd(t, e, id)
		}
		completed := func(want int64) {
			t.Helper()
			s, err := e.Stats(t.Context())
			if err != nil || len(s.Modules) != 1 || s.Modules[0].Runs[flawless.Completed] != want {
				t.Errorf("the counts are %+v, %v; want %d", s.Modules, err, want)
			}
		}
		completed(2)
		var gone store.Batch
		for row, err := range kv.Scan(t.Context(), store.Range{From: []byte("k"), To: []byte("l")}) {
			if err != nil {
				t.Fatal(err)
			}
			gone.Delete = [][]byte{bytes.Clone(row.Key)}
		}
		if err := kv.Apply(t.Context(), &gone); err != nil {
			t.Fatal(err)
		}
		completed(1)
		for _, want := range []string{"[guest]", "[]"} {
			if _, err := e.CheckStore(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			c, err := e.StoreCheck()
			if err != nil || c.Running || c.Error != "" || fmt.Sprint(c.Recounted) != want || len(c.Damaged) > 0 {
				t.Errorf("the check has found %+v, %v; want %s", c, err, want)
			}
			completed(2)
		}
	})
}
