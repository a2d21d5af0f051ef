package damage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// filed is a database that says it has files, one of which is damaged. The rows in its range hole cannot be read.
type filed struct {
	*mem.DB
	bad  store.BadFile
	hole store.Range
}

var errHole = fmt.Errorf("a block has a wrong checksum: %w", flawless.Damaged)

// CheckFiles implements store.FileChecker.
func (f *filed) CheckFiles(context.Context, store.CheckFiles) ([]store.BadFile, error) {
	return []store.BadFile{f.bad}, nil
}

func (f *filed) damaged(k []byte) bool {
	return bytes.Compare(k, f.hole.From) >= 0 && bytes.Compare(k, f.hole.To) < 0
}

func (f *filed) Get(ctx context.Context, k []byte) ([]byte, error) {
	if f.damaged(k) {
		return nil, errHole
	}
	return f.DB.Get(ctx, k)
}

func (f *filed) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for item, err := range f.DB.Scan(ctx, r) {
			if err == nil && f.damaged(item.Key) {
				item, err = store.Item{}, errHole
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// filled returns a store with rows of all families.
func filled(t *testing.T) (*filed, *store.Store) {
	t.Helper()
	ctx, kv := t.Context(), &filed{DB: mem.New()}
	s, err := store.Open(ctx, kv)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Claim(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"order-7", "removed"} {
		h := store.Head{Run: flawless.Run{ID: id, Module: "m", Workflow: "w", Status: flawless.Waiting, Created: time.Unix(1, 0), Parent: "p",
			Labels: map[string]string{"k": "v"}, Queue: &flawless.QueueOptions{Key: "q"}}, Active: true, Wake: 5}
		err = errors.Join(err, s.Write(ctx, l, store.Write{ID: id, New: true, After: &h, Entries: []flawless.Entry{{At: 1, Start: &flawless.Start{}}}, Data: []byte("1")}))
		if id == "removed" {
			ended := h
			ended.Run.Status, ended.Active, ended.Wake = flawless.Completed, false, 0
			err = errors.Join(err, s.Write(ctx, l, store.Write{ID: id, Before: &h, After: &ended}), s.Remove(ctx, l, id, true))
		}
	}
	_, _, added := s.AddModule(ctx, l, flawless.Module{Name: "m", Digest: "d"}, []byte("wasm"))
	_, masked := s.MaskKey(ctx, l)
	imported := store.Head{Run: flawless.Run{ID: "import", Digest: "imported", Created: time.Unix(2, 0)}}
	err = errors.Join(err, added, masked,
		s.KeepBinary(ctx, l, "imported", []byte("wasm")),
		s.Write(ctx, l, store.Write{ID: "import", New: true, After: &imported, Entries: []flawless.Entry{{At: 1, Start: &flawless.Start{}}}}),
		s.PutImage(ctx, l, "order-7", store.Image{Seq: 1, State: []byte("s")}),
		s.PutState(ctx, l, "s", store.State{Value: []byte("1")}),
		s.PutSchedule(ctx, l, "nightly", nil, &flawless.Schedule{Name: "nightly"}),
		s.PutSettings(ctx, l, nil, flawless.Settings{Module: "m"}),
		s.PutHost(ctx, l, "h", nil, &flawless.Host{Host: "h"}),
		s.PutLimit(ctx, l, "h", nil, &flawless.Limit{Host: "h"}),
		s.PutGrants(ctx, l, "order-7"),
		s.ChangeSecrets(ctx, l, []store.SecretChange{{After: &flawless.SealedSecret{Secret: flawless.Secret{Name: "s"}}}}),
		s.PutNode(ctx, nil, &flawless.Node{ID: "n"}),
		putHistory(ctx, s),
		s.PutCheck(ctx, l, flawless.StoreCheck{}),
		s.PutView(ctx, l, "v", nil, &flawless.View{Name: "v"}),
		s.PutMinutes(ctx, l, tally.Minutes{Server: "n"}, nil),
		// What an open store has only now and then.
		kv.Apply(ctx, &store.Batch{Set: []store.Item{
			{Key: key.Removal.Of("half"), Value: []byte("1")},
			{Key: key.Generation.Key(), Value: []byte("1")},
			{Key: key.Rebuilt.Key().Number(1).Text("a"), Value: []byte{}},
			{Key: key.Transfer.Key(), Value: []byte("1")},
		}}))
	if err != nil {
		t.Fatal(err)
	}
	return kv, s
}

func putHistory(ctx context.Context, s *store.Store) error {
	_, err := s.ChangeHistory(ctx, func(h *flawless.History) bool { h.Open = true; return true })
	return err
}

// rows returns the keys of all rows.
func rows(t *testing.T, kv store.KV) (keys [][]byte) {
	t.Helper()
	for item, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, slices.Clone(item.Key))
	}
	return keys
}

// affected has what damage of a row of each family affects.
var affected = map[key.Family]string{
	key.Format: "format of the store  ", key.Identity: "identity of the store  ", key.Lease: "lease  ", key.Node: "nodes  ",
	key.Head: "run order-7 head", key.Record: "run order-7 log", key.Data: "run order-7 data", key.Image: "run order-7 image",
	key.Created: "lists  ", key.Status: "lists  ", key.Module: "lists  ", key.Workflow: "lists  ", key.Label: "lists  ", key.Parent: "lists  ",
	key.Placed: "lists  ", key.Active: "lists  ", key.Timer: "lists  ", key.Rebuilt: "lists  ", key.Generation: "generation of the lists  ",
	key.Version: "versions of modules  ", key.Binary: "module m version 1 bytes", key.State: "states  ", key.Schedule: "schedules  ", key.Limit: "limits  ",
	key.Host: "settings of hosts  ", key.Settings: "settings of modules  ", key.Secret: "secrets  ", key.Gone: "removed runs  ",
	key.Removal: "runs being removed  ", key.Transfer: "mark of a copied store  ", key.Mask: "key of masked values  ", key.Check: "last check  ", key.History: "history  ", key.Change: "numbers of changes  ", key.Grant: "admitted runs  ", key.Tally: "lists  ", key.Minutes: "counts by minute  ", key.View: "views  ",
}

// TestDamageOfEachRowIsListed, of this row alone, whether it can still be read or not.
func TestDamageOfEachRowIsListed(t *testing.T) {
	t.Parallel()
	kv, _ := filled(t)
	seen := map[key.Family]bool{}
	for _, k := range rows(t, kv) {
		f := key.Family(k[0])
		want := affected[f]
		switch {
		case bytes.Equal(k, key.Head.Of("import")):
			want = "run import head"
		case bytes.HasPrefix(k, key.Record.Of("import")):
			want = "run import log"
		case bytes.HasPrefix(k, key.Binary.Key().Text("imported")):
			want = "module imported bytes"
		}
		seen[f] = true
		t.Run(fmt.Sprintf("%q", k), func(t *testing.T) {
			t.Parallel()
			for _, readable := range []bool{true, false} {
				kv, s := filled(t)
				if kv.bad = (store.BadFile{Name: "1.sst", From: k, To: append(slices.Clone(k), 0)}); !readable {
					kv.hole = store.Range{From: kv.bad.From, To: kv.bad.To}
				}
				c, err := s.Check(t.Context(), store.CheckFiles{})
				if err != nil || len(c.Affected) != 1 {
					t.Fatalf("readable %v: the check found %+v, %v", readable, c.Affected, err)
				}
				x := c.Affected[0]
				if got := x.Kind + " " + x.Name + " " + x.Part; got != want || x.Todo == "" {
					t.Errorf("readable %v: the check lists %q (%s), want %q", readable, got, x.Todo, want)
				}
				if rebuilt := want == "lists  "; x.Readable != (readable || rebuilt) {
					t.Errorf("readable %v: the check says %v", readable, x.Readable)
				}
			}
		})
	}
	for _, f := range key.Families() {
		if !seen[f] {
			t.Errorf("the store has no row of family %c, so the test is incomplete", f)
		}
	}
}

// TestDamageOfEverythingIsListed, once each.
func TestDamageOfEverythingIsListed(t *testing.T) {
	t.Parallel()
	kv, s := filled(t)
	kv.bad = store.BadFile{Name: "1.sst", From: []byte{0}, To: []byte{0xff}}
	c, err := s.Check(t.Context(), store.CheckFiles{})
	got := map[string]bool{}
	for _, x := range c.Affected {
		if got[x.Kind+" "+x.Name+" "+x.Part] = true; !x.Readable {
			t.Errorf("%+v can be read", x)
		}
	}
	want := map[string]bool{"module imported bytes": true, "run import head": true, "run import log": true}
	for _, what := range affected {
		want[what] = true
	}
	for what := range want {
		if !got[what] {
			t.Errorf("%q is not listed", what)
		}
	}
	if err != nil || len(got) != len(want) || c.More != 0 {
		t.Errorf("the check lists %v, %v", got, err)
	}
}

// TestWhatDoesNotExistIsNotListed, unless the range cannot be read: then it may have been there.
func TestWhatDoesNotExistIsNotListed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		hole store.Range
		want []string
	}{
		{"readable", store.Range{}, []string{"format of the store", "identity of the store", "lists"}},
		{"a hole", store.Range{From: []byte("S"), To: []byte("S\xff")}, []string{"secrets", "format of the store", "identity of the store", "lists"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kv := &filed{DB: mem.New(), bad: store.BadFile{Name: "1.sst", From: []byte{0}, To: []byte{0xff}}, hole: row.hole}
			s, err := store.Open(t.Context(), kv)
			if err == nil && row.hole.From != nil {
				err = kv.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte("Sx"), Value: []byte("1")}}})
			}
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Check(t.Context(), store.CheckFiles{})
			var got []string
			for _, x := range c.Affected {
				got = append(got, x.Kind)
			}
			if err != nil || !slices.Equal(got, row.want) {
				t.Errorf("the check lists %q, %v; want %q", got, err, row.want)
			}
		})
	}
}
