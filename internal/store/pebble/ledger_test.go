package pebble

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// TestOlderStateIsDamage even if all files are intact: some keys are missing.
func TestOlderStateIsDamage(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db, err := Open("work", faulty(fs, -1))
	must(t, err)
	must(t, db.Apply(t.Context(), put("k", "1")))
	must(t, db.Close())
	l, err := openLedger(fs, "work", "work/data")
	must(t, err)
	stopped := l.newest
	if stopped == 0 {
		t.Error("an orderly stop left no sequence number")
	}
	must(t, l.finish(stopped+1))
	must(t, l.close())
	for range 2 { // also at the second attempt
		if _, err := Open("work", faulty(fs, -1)); !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "sequence number") {
			t.Errorf("opening: %v, want damaged", err)
		}
	}
	l, err = openLedger(fs, "work", "work/data")
	must(t, err)
	must(t, l.finish(stopped))
	must(t, l.close())
	if got, err := openFaulty(t, fs, -1).Get(t.Context(), []byte("k")); err != nil || string(got) != "1" {
		t.Errorf("with the correct number: %q, %v", got, err)
	}
}

// TestTornSecondLineIsIgnored: it is written in place, so a crash may leave it incomplete.
func TestTornSecondLineIsIgnored(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	for range 3 {
		must(t, db.Apply(t.Context(), put("k", "1")))
	}
	text, err := readFile(fs, "work/synced")
	must(t, err)
	text = text[db.ledger.at():][:min(pageSize, len(text))]
	at := len(firstLine) + 2
	read := func(change func([]byte)) map[string]extent {
		text := []byte(string(text))
		change(text)
		l := newLedger(fs, "work", "work/data")
		must(t, l.parse(bytes.TrimRight(text, "\x00")))
		return l.synced
	}
	name := db.ledger.now
	whole := read(func([]byte) {})[name]
	if whole != db.ledger.synced[name] {
		t.Errorf("got %+v for %s, want %+v", whole, name, db.ledger.synced[name])
	}
	for i := range nowLength {
		torn := read(func(b []byte) { b[at+i] ^= 1 })[name]
		if torn.size >= whole.size {
			t.Errorf("with byte %d changed, got %+v", i, torn)
		}
	}
}

// TestSecondLineIsSyncedEverySecond, so it covers everything that was synced more than a second ago.
func TestSecondLineIsSyncedEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		must(t, mkdir(fs, "work/data"))
		l, err := openLedger(fs, "work", "work/data")
		must(t, err)
		must(t, l.begin())
		l.keep(func(err error) { t.Error(err) })
		accounted := func() int64 {
			text, err := readFile(fs.CrashClone(vfs.CrashCloneCfg{}), l.path)
			must(t, err)
			after := newLedger(fs, "work", "work/data")
			must(t, after.read(text))
			return after.synced["000002.log"].size
		}
		must(t, l.note("000002.log", extent{size: 10}))
		must(t, l.note("000002.log", extent{size: 20}))
		if got := accounted(); got != 10 {
			t.Errorf("at once, it covers %d bytes, want 10", got)
		}
		time.Sleep(time.Second + 1)
		synctest.Wait()
		if got := accounted(); got != 20 {
			t.Errorf("after a second, it covers %d bytes, want 20", got)
		}
		must(t, l.close())
	})
}
