package engine

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

var writeImages = flag.Bool("write-images", false, "write the golden image of today's formats, where there is none")

// keptRun is a run whose log was cut, as some version of the server has left it: testdata/images has one
// for each format of a state and of a frozen guest. They are never written again. Its module, kept.wasm,
// sleeps for 24 days, one at a time, and completes if its memory and globals are then as they should be.
type keptRun struct {
	Run   flawless.Run
	Wake  int64
	State int // format
	Guest int // format
	Image store.Image
	Log   []flawless.Record
}

// keptModule is the module of all of them.
func keptModule(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/images/kept.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keepFew lets a run of the module sleep for two weeks in the hands of a server that keeps few turns.
func keepFew(t *testing.T) keptRun {
	t.Helper()
	e := open(t, mem.New(), Options{Freezing: Freezing{Turns: 5}, Rest: time.Hour})
	defer e.Kill()
	ctx := context.Background()
	if _, _, err := e.AddModule(ctx, "kept", keptModule(t), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.ChangeSettings(ctx, "kept", func(s *flawless.Settings) { s.KeepTurns = 3 }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Start(ctx, Start{Module: "kept", Workflow: "keep", ID: "run"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(14*24*time.Hour + time.Hour)
	head, err := e.store.Head(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	k := keptRun{Run: head.Run, Wake: head.Wake, State: core.StateFormat, Guest: guest.FrozenFormat}
	if k.Image, err = e.store.Image(ctx, "run"); err != nil {
		t.Fatal(err)
	}
	if k.Log, err = e.Log(ctx, "run", 0, 0); err != nil || k.Log[0].Cut == nil {
		t.Fatalf("its log was not cut: %+v, %v", k.Log, err)
	}
	return k
}

// put puts the run into a store, as it was.
func (k keptRun) put(t *testing.T, kv store.KV) {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, kv)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Claim(ctx, "an earlier server")
	if err != nil {
		t.Fatal(err)
	}
	head := store.Head{Run: k.Run, Wake: k.Wake}
	for n, rec := range k.Log {
		w := store.Write{ID: k.Run.ID, Seq: rec.Seq, Entries: rec.Entries}
		if n == 0 {
			w.New, w.After = true, &head
		}
		if err := s.Write(ctx, l, w); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutImageAndCut(ctx, l, k.Run.ID, k.Image, *k.Log[0].Cut); err != nil {
		t.Fatal(err)
	}
}

func imageFile(state, guest int) string {
	return filepath.Join("testdata", "images", fmt.Sprintf("state-%d-guest-%d.json", state, guest))
}

// TestRunResumesFromImageOfEveryFormat: the turns before it are gone, so a format that is not read any
// more would be the end of the run.
func TestRunResumesFromImageOfEveryFormat(t *testing.T) {
	if name := imageFile(core.StateFormat, guest.FrozenFormat); *writeImages {
		inVirtualTime(t, func(t *testing.T) {
			b, err := json.MarshalIndent(keepFew(t), "", " ")
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(append(b, '\n')); err != nil {
				t.Fatal(err)
			}
		})
	}
	files, err := filepath.Glob("testdata/images/*.json")
	if err != nil {
		t.Fatal(err)
	}
	states, guests := map[int]bool{}, map[int]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var k keptRun
		if err := json.Unmarshal(b, &k); err != nil {
			t.Fatal(err)
		}
		if file != imageFile(k.State, k.Guest) || !strings.Contains(string(k.Image.State), fmt.Sprintf(`"Format":%d,`, k.State)) || int(k.Image.Guest[0]) != k.Guest {
			t.Errorf("%s does not have the formats it says", file)
		}
		states[k.State], guests[k.Guest] = true, true
		t.Run(filepath.Base(file), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				time.Sleep(14*24*time.Hour + 2*time.Hour)
				kv := mem.New()
				k.put(t, kv)
				e := open(t, kv, Options{})
				defer e.Kill()
				if _, _, err := e.AddModule(t.Context(), "kept", keptModule(t), nil); err != nil {
					t.Fatal(err)
				}
				e.clock.Again()
				r, err := e.Wait(context.Background(), "run")
				if err != nil || r.Status != flawless.Completed || string(r.Output) != `"done"` || r.Turns != 25 {
					t.Errorf("it is %+v, %v", r, err)
				}
			})
		})
	}
	for n := 2; n <= core.StateFormat; n++ { // no log was cut with format 1
		if !states[n] {
			t.Errorf("testdata/images has no image with a state of format %d; write it with -write-images before the number changes", n)
		}
	}
	for n := 1; n <= guest.FrozenFormat; n++ {
		if !guests[n] {
			t.Errorf("testdata/images has no image with a guest of format %d; write it with -write-images before the number changes", n)
		}
	}
}

// TestImageOfCutLogNeedsNoBaseImage: a server to come may initialise the module otherwise.
func TestImageOfCutLogNeedsNoBaseImage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		k := keepFew(t)
		base := k.Image.Guest[1+32 : 1+64]
		if !slices.Equal(base, make([]byte, 32)) {
			t.Error("the guest was not frozen whole")
		}
	})
}

// TestImageOfNewerServerIsKept: the run is quarantined, and continues with that server.
func TestImageOfNewerServerIsKept(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		k := keepFew(t)
		for name, change := range map[string]func(m *store.Image){
			"state": func(m *store.Image) {
				m.State = []byte(strings.Replace(string(m.State), fmt.Sprintf(`"Format":%d`, core.StateFormat), `"Format":999`, 1))
			},
			"guest": func(m *store.Image) { m.Guest[0] = 99 },
		} {
			kv := mem.New()
			newer := k
			newer.Image.Guest = slices.Clone(k.Image.Guest)
			change(&newer.Image)
			newer.put(t, kv)
			e := open(t, kv, Options{})
			if _, _, err := e.AddModule(t.Context(), "kept", keptModule(t), nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(48 * time.Hour)
			r, err := e.Run(context.Background(), "run")
			if err != nil || r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "newer version") {
				t.Errorf("with a newer %s it is %+v, %v", name, r, err)
			}
			e.Kill()
			s, err := store.Open(t.Context(), kv)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := s.Image(t.Context(), "run"); err != nil || !slices.Equal(m.Guest, newer.Image.Guest) || !slices.Equal(m.State, newer.Image.State) {
				t.Errorf("the image with a newer %s was not kept: %v", name, err)
			}
			l, err := s.Claim(t.Context(), "the newer server")
			if err == nil {
				err = s.PutImage(t.Context(), l, "run", k.Image) // which can read it
			}
			if err != nil {
				t.Fatal(err)
			}
			e = open(t, kv, Options{})
			if r, err := e.Wait(context.Background(), "run"); err != nil || r.Status != flawless.Completed {
				t.Errorf("with the newer %s again it is %+v, %v", name, r, err)
			}
			e.Kill()
		}
	})
}
