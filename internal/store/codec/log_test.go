package codec

import (
	"bytes"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

// logOf returns a log of one record.
func logOf(t testing.TB, c Codec, r flawless.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := c.AppendRecord(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestLogWithTooManyItemsIsRejected checks the count of lists and structs that is made before decoding.
func TestLogWithTooManyItemsIsRejected(t *testing.T) {
	t.Parallel()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	log := logOf(t, c, flawless.Record{Entries: []flawless.Entry{{At: 1, Turn: &flawless.Turn{Lines: make([]flawless.Line, 1000)}}}})
	// A record, its struct, the list of entries and its entry, the turn, the list of lines, and 1,000 lines.
	if n := logItems(log); n < 1006 || n > 1010 {
		t.Errorf("counted %d lists and structs in a log of 1000 lines", n)
	}
	if _, err := c.UnmarshalLog(log, 1000); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("%v, want %s", err, flawless.TooLarge)
	}
	if _, err := c.UnmarshalLog(log, 2000); err != nil {
		t.Error(err)
	}
}

// FuzzUnmarshalLog checks that no input causes a panic, and that an accepted log has no more items than counted.
func FuzzUnmarshalLog(f *testing.F) {
	c, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(logOf(f, c, flawless.Record{Entries: everything().Entries}))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Fix the checksum: with a wrong one, nothing but the checksum is tested.
		if len(b) > 4+envelope {
			var sealed bytes.Buffer
			_ = c.AppendRaw(&sealed, b[5:len(b)-4])
			b = append([]byte{0, 0, byte(sealed.Len() >> 8), byte(sealed.Len())}, sealed.Bytes()...)
		}
		records, err := c.UnmarshalLog(b, 10_000)
		if err != nil {
			if !errors.Is(err, flawless.Damaged) && !errors.Is(err, flawless.TooLarge) {
				t.Errorf("got an error without a code: %v", err)
			}
			return
		}
		entries := 0
		for _, r := range records {
			entries += 1 + len(r.Entries)
		}
		if n := logItems(b); n < entries {
			t.Errorf("it has %d records and entries, but only %d items were counted", entries, n)
		}
	})
}
