package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestItemsOfALog counts the lists and structs of a log before it is decoded.
func TestItemsOfALog(t *testing.T) {
	t.Parallel()
	p, err := NewPortable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := p.MarshalLog([]flawless.Record{{Entries: []flawless.Entry{{At: 1, Turn: &flawless.Turn{Lines: make([]flawless.Line, 1000)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	// A record, its struct, the list and one struct of an entry, a turn, the list of lines, and these.
	if n := logItems(log); n < 1006 || n > 1010 {
		t.Errorf("a log of 1000 lines has %d lists and structs", n)
	}
	if _, err := p.UnmarshalLog(log, 1000); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("%v, want %s", err, flawless.TooLarge)
	}
	if _, err := p.UnmarshalLog(log, 2000); err != nil {
		t.Error(err)
	}
}

// FuzzUnmarshalLog: no bytes make it panic, and what it accepts has as many items as were counted.
func FuzzUnmarshalLog(f *testing.F) {
	p, err := NewPortable()
	if err != nil {
		f.Fatal(err)
	}
	log, err := p.MarshalLog([]flawless.Record{{Entries: everything().Entries}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log)
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is made right: otherwise nothing behind it is reached.
		if len(b) > 4+envelope {
			var sealed bytes.Buffer
			_ = p.codec.raw(&sealed, b[5:len(b)-4])
			b = append([]byte{0, 0, byte(sealed.Len() >> 8), byte(sealed.Len())}, sealed.Bytes()...)
		}
		records, err := p.UnmarshalLog(b, 10_000)
		if err != nil {
			if !errors.Is(err, flawless.Damaged) && !errors.Is(err, flawless.TooLarge) {
				t.Errorf("an error of no class: %v", err)
			}
			return
		}
		entries := 0
		for _, r := range records {
			entries += 1 + len(r.Entries)
		}
		if n := logItems(b); n < entries {
			t.Errorf("%d records and entries, %d items were counted", entries, n)
		}
	})
}
