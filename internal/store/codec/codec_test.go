package codec

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// everything returns a record with every kind of entry, and text that is not UTF-8.
func everything() Record {
	stages := []flawless.Stage{{Name: "sent", At: 5}}
	return Record{Epoch: 7, Entries: []flawless.Entry{
		{At: -1, Start: &flawless.Start{Module: "m", Digest: "d", Workflow: "w", Input: []byte(`{}`), Seed: make([]byte, 32), Time: 3, Keyed: true}},
		{At: 1, Turn: &flawless.Turn{
			N: 1, Time: 2, Answers: []int{0, 3}, Calls: []flawless.Call{{N: 1, Kind: "http", Head: []byte(`{}`), Body: []byte{0, 255}}},
			Lines: []flawless.Line{{Level: "stdout", Text: "a\xff\xfeb", Fields: []byte(`{"a":1}`), Site: "f.go:1"}},
			Data:  []byte(`1`), Wake: 1 << 62, Ended: &flawless.Ended{Output: []byte(`2`)}, Cost: 1 << 63,
		}},
		{At: 2, Arrival: &flawless.Arrival{Answer: flawless.Answer{Call: 1, Head: []byte(`{}`), Body: []byte("x")}, Stages: stages, Note: "n"}},
		{At: 3, Attempt: &flawless.Attempt{Call: 1, N: 2, Result: "503", Stages: stages, Next: 9, Begun: true}},
		{At: 4, Unknown: &flawless.Unknown{Call: 1, Reason: "r", Stages: stages}},
		{At: 5, Decision: &flawless.Decision{Call: 1, Resolution: flawless.Respond, Text: "t", Status: 200, Body: []byte("b"), Who: "w", Note: "n"}},
		{At: 6, Cancel: &flawless.Cancel{Who: "w", Note: "n"}},
		{At: 7, End: &flawless.End{Status: flawless.Failed, Failure: flawless.Failure{Kind: "stuck", Message: "m", Stack: "s"}, Who: "w"}},
	}}
}

func encoded(t testing.TB, c Codec, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.Encode(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testCodec(t testing.TB) Codec {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	rec := everything()
	value := encoded(t, c, &rec)
	var got Record
	if err := c.Decode(value, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rec, got); diff != "" {
		t.Errorf("record differs (-written +read):\n%s", diff)
	}
	clear(value)
	if diff := cmp.Diff(rec, got); diff != "" {
		t.Errorf("record shares bytes with its value:\n%s", diff)
	}
}

func TestDamagedValueIsReported(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	rec := everything()
	good := encoded(t, c, &rec)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if err := c.Decode(bad, new(Record)); !errors.Is(err, flawless.Damaged) {
			t.Fatalf("byte %d changed: %v, want Damaged", i, err)
		}
		if err := c.Decode(good[:i], new(Record)); !errors.Is(err, flawless.Damaged) {
			t.Fatalf("cut at %d: %v, want Damaged", i, err)
		}
	}
	for _, bad := range [][]byte{
		sealed(t, c, 2, []byte{0xa0}),                                                     // a later format
		sealed(t, c, 1, []byte{0xa1, 0x18, 0x63, 0x00}),                                   // an unknown field
		sealed(t, c, 1, []byte{0xa2, 0x01, 0x00, 0x01, 0x00}),                             // a field twice
		sealed(t, c, 1, []byte{0xa1, 0x02, 0x9b, 127, 255, 255, 255, 255, 255, 255, 255}), // an array of 2^63
		sealed(t, c, 1, bytes.Repeat([]byte{0x81}, 1000)),                                 // nested deeply
		sealed(t, c, 1, nil),
	} {
		if err := c.Decode(bad, new(Record)); !errors.Is(err, flawless.Damaged) {
			t.Errorf("%x: %v, want Damaged", bad, err)
		}
	}
}

// sealed returns a value of any format and payload with a correct checksum.
func sealed(t testing.TB, c Codec, format byte, payload []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte(format)
	b.Write(payload)
	if err := c.seal(&b, 0); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzRecord(f *testing.F) {
	c := testCodec(f)
	rec := everything()
	value := encoded(f, c, &rec)
	f.Add(value[1 : len(value)-4])
	f.Add([]byte{0xa0})
	some := Record{Epoch: 7, Entries: rec.Entries[:3]}
	value = encoded(f, c, &some)
	f.Add(value[1 : len(value)-4])
	f.Fuzz(func(t *testing.T, payload []byte) {
		var got, again Record
		if here, ok := parseRecord(payload); ok {
			var want Record
			if err := c.dec.Unmarshal(payload, &want); err != nil {
				t.Fatalf("parseRecord accepts it, but the library returns %v", err)
			}
			if diff := cmp.Diff(want, here); diff != "" {
				t.Fatalf("parseRecord differs from the library (-library +parseRecord):\n%s", diff)
			}
		}
		if err := c.Decode(sealed(t, c, flawless.LogFormat, payload), &got); err != nil {
			if !errors.Is(err, flawless.Damaged) {
				t.Fatalf("got %v, want Damaged", err)
			}
			return
		}
		if err := c.Decode(encoded(t, c, &got), &again); err != nil {
			t.Fatalf("accepted and encoded, but then rejected: %v", err)
		}
		first, second := encoded(t, c, &got), encoded(t, c, &again)
		if !bytes.Equal(first, second) {
			t.Fatalf("the second encoding differs from the first:\n%x\n%x", first, second)
		}
	})
}
