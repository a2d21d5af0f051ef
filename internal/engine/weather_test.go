package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestOversizedModuleIsRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	_, _, err := e.AddModule(t.Context(), "large", make([]byte, MaxModule+1), nil)
	if !errors.Is(err, flawless.TooLarge) || !strings.Contains(err.Error(), "the limit is 67108864") {
		t.Errorf("got %v", err)
	}
}

// TestDeadGuestIsLogged is promise 7: the log of a run whose guest dies says of what, and where.
func TestDeadGuestIsLogged(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct {
		name, workflow       string
		in                   any
		kind, message, stack string
	}{
		{"a panic", "fail", "panic", "panic", "boom", "main.fail"},
		{"an error", "fail", "no money", "error", "no money", ""},
		{"a stack that is too deep", "sink", 1 << 30, "", "", ""},
		{"memory above the limit", "hog", nil, "memory", "256 MiB", ""},
		{"nothing to wait for", "stuck", nil, "stuck", "waits for nothing", "main.stuck"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := mustEnd(t, e, mustStart(t, e, row.workflow, row.in, "").ID)
			if r.Status != flawless.Failed {
				t.Fatalf("it is %+v", r)
			}
			log, err := e.Log(t.Context(), r.ID, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			last := log[len(log)-1].Entries
			turn := last[len(last)-1].Turn
			if turn == nil || turn.Ended == nil || turn.Ended.Failure == nil {
				t.Fatalf("its log ends with %+v", last[len(last)-1])
			}
			f := turn.Ended.Failure
			if row.kind != "" && f.Kind != row.kind || f.Message == "" || !strings.Contains(f.Message, row.message) || !strings.Contains(f.Stack, row.stack) {
				t.Errorf("its log ends with %s: %s\n%s", f.Kind, f.Message, f.Stack)
			}
			t.Logf("%s: %s", f.Kind, f.Message)
		})
	}
}

// TestUnreadableRecordQuarantinesRun damages a log in each way there is, under a server that
// is down, and looks at this run and at another one.
func TestUnreadableRecordQuarantinesRun(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		damage func(value []byte) []byte // nil removes the record
	}{
		{"a wrong checksum", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"a changed byte", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{"a record that does not decode", func(b []byte) []byte {
			b = append(b[:1], "no record"...)
			sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
			return binary.LittleEndian.AppendUint32(b, sum)
		}},
		{"a record of an unknown format", func(b []byte) []byte {
			b = append([]byte{99}, b[1:len(b)-4]...)
			sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
			return binary.LittleEndian.AppendUint32(b, sum)
		}},
		{"half a record", func(b []byte) []byte { return b[:len(b)/2] }},
		{"an empty record", func([]byte) []byte { return []byte{} }},
		{"a missing record", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kv := mem.New()
			e := open(t, kv, Options{})
			bad, good := mustStart(t, e, "obey", nil, "bad").ID, mustStart(t, e, "obey", nil, "good").ID
			e.Kill()
			damageFirst(t, kv, row.damage)
			e = open(t, kv, Options{})
			if _, err := e.Cancel(t.Context(), bad, flawless.Cancel{}); !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "bad") {
				t.Errorf("cancelling the damaged run: %v", err)
			}
			if r, err := e.Run(t.Context(), bad); err != nil || r.Status != flawless.Unresolved || r.Problem == "" {
				t.Errorf("the damaged run: %+v, %v", r, err)
			} else {
				t.Log(r.Problem)
			}
			if h := e.Health(); h.Quarantined != 1 {
				t.Errorf("%d runs are quarantined, want 1", h.Quarantined)
			}
			if _, err := e.Cancel(t.Context(), good, flawless.Cancel{}); err != nil {
				t.Errorf("the other run: %v", err)
			}
			if r := mustEnd(t, e, good); r.Status != flawless.Cancelled {
				t.Errorf("the other run is %+v", r)
			}
		})
	}
}

// damageFirst changes the first record of the run bad.
func damageFirst(t *testing.T, kv store.KV, damage func([]byte) []byte) {
	t.Helper()
	var b store.Batch
	for item, err := range kv.Scan(t.Context(), store.Range{From: rowOf('r', "bad"), Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		key := append([]byte(nil), item.Key...)
		if damage == nil {
			b.Delete = append(b.Delete, key)
			continue
		}
		b.Set = append(b.Set, store.Item{Key: key, Value: damage(append([]byte(nil), item.Value...))})
	}
	if err := kv.Apply(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func TestAbandonedWaitLeavesNothing(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	id := mustStart(t, e, "obey", nil, "").ID
	for _, wait := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := e.Wait(ctx, id); return err },
		func(ctx context.Context) error {
			for _, err := range e.Follow(ctx, id, 0) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		func(ctx context.Context) error {
			for _, err := range e.Watch(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting ended with %v", err)
		}
		cancel()
	}
	topics, watches := e.hub.Count()
	if topics != 0 || watches != 0 {
		t.Errorf("%d topics and %d watches are left", topics, watches)
	}
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Error(err)
	}
	if r := mustEnd(t, e, id); r.Status != flawless.Cancelled {
		t.Errorf("the run is %+v", r)
	}
}
