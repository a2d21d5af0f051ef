package brief

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// record has everything that can be long, of n bytes each.
func record(n int) flawless.Record {
	text := bytes.Repeat([]byte("x"), n)
	quoted := json.RawMessage(`"` + string(text) + `"`)
	return flawless.Record{Seq: 3, Entries: []flawless.Entry{
		{Start: &flawless.Start{Module: "m", Input: quoted}},
		{Message: &flawless.Message{Type: "t", Body: text}},
		{Decision: &flawless.Decision{Call: 1, Body: text}},
		{Arrival: &flawless.Arrival{Answer: flawless.Answer{Call: 1, Head: quoted, Body: text}}},
		{Turn: &flawless.Turn{N: 1, Data: quoted, Ended: &flawless.Ended{Output: quoted}, Calls: []flawless.Call{{N: 1, Body: text}, {N: 2}},
			Lines: []flawless.Line{{Text: string(text), Fields: quoted}, {Text: "short"}}}},
		{Cancel: &flawless.Cancel{Who: "jo"}},
	}}
}

func TestLongPartsAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		n     int
		short bool
		least int // what is left, in bytes
	}{{"nothing", 10, false, 80}, {"bodies", MaxBody + 1, true, 3 * MaxBody}, {"all", MaxData + 1, true, 0}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			rec := record(row.n)
			got := Of(rec)
			if diff := cmp.Diff(record(row.n), rec); diff != "" {
				t.Errorf("it has changed the record: %s", diff)
			}
			if got.Short != row.short || got.Seq != 3 || len(got.Entries) != len(rec.Entries) {
				t.Errorf("short is %t in %+v", got.Short, got)
			}
			if row.short == cmp.Equal(got.Entries, rec.Entries) {
				t.Errorf("short is %t, and the entries are %+v", row.short, got.Entries)
			}
			if n := got.Size(); n < row.least || n > 6*MaxData {
				t.Errorf("%d bytes are left", n)
			}
			b, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if row.n > MaxData && strings.Contains(string(b), strings.Repeat("x", MaxBody)) {
				t.Errorf("something long is left: %.200s", b)
			}
			if row.n > MaxData && string(got.Entries[4].Turn.Data) != "null" {
				t.Errorf("long data is %.20q", got.Entries[4].Turn.Data)
			}
		})
	}
}
