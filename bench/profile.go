package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/postgres"
)

// profiled runs chains of calls on an engine in this process, whose store is in a database if that has an address, and
// writes a CPU profile.
func profiled(name, database string) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp(".", ".bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	module, err := buildGuest(filepath.Join(must(filepath.Abs(dir))))
	if err != nil {
		return err
	}
	db, err := openKV(ctx, dir, database)
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := store.Open(ctx, db)
	if err != nil {
		return err
	}
	rt, err := guest.NewRuntime(ctx, guest.Options{})
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	e, err := engine.Open(ctx, engine.Options{Store: st, Guest: rt, Kinds: effect.Kinds(effect.Options{})})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	if _, _, err := e.AddModule(ctx, "bench", module, nil); err != nil {
		return err
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"id":"ch_1"}`)
	}))
	defer web.Close()
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	in, _ := json.Marshal(map[string]any{"url": web.URL, "n": 10})
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	runs := 0
	for range 64 {
		wg.Go(func() {
			for time.Since(began) < 8*time.Second {
				r, _, err := e.Start(ctx, engine.Start{Module: "bench", Workflow: "chain", Input: in})
				if err == nil {
					_, err = e.Wait(ctx, r.ID)
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				runs++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("%.0f calls/s\n", float64(10*runs)/time.Since(began).Seconds())
	return nil
}

// openKV opens a store in a directory, or in the schema bench_profile of a database.
func openKV(ctx context.Context, dir, database string) (store.KV, error) {
	if database != "" {
		return postgres.Open(ctx, database, postgres.Options{Schema: "bench_profile"})
	}
	return pebble.Open(filepath.Join(dir, "store"), pebble.Options{})
}

func must(s string, err error) string {
	if err != nil {
		return "."
	}
	return s
}
