package store

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
)

// TestUsualRecordsAreWhatTheCodecMakesOfThem draws records, of which some are not usual.
func TestUsualRecordsAreWhatTheCodecMakesOfThem(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	short, long := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		r := record{Epoch: rapid.Uint64().Draw(rt, "epoch"), Entries: rapid.SliceOfN(rapid.Custom(drawEntry), 1, 4).Draw(rt, "entries")}
		var whole bytes.Buffer
		if err := c.enc.MarshalToBuffer(&r, &whole); err != nil {
			rt.Fatal(err)
		}
		var want record
		if err := c.dec.Unmarshal(whole.Bytes(), &want); err != nil {
			rt.Fatal(err)
		}
		if !usual(r.Entries) {
			long++
		} else if got := appendRecord(nil, &r); !bytes.Equal(got, whole.Bytes()) {
			rt.Fatalf("it is written as\n%x\nthe codec writes\n%x", got, whole.Bytes())
		}
		if got, ok := parseRecord(whole.Bytes()); ok {
			short++
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("it is read in another way than by the codec (-codec +here):\n%s", diff)
			}
		} else if usual(r.Entries) && !keyed(r.Entries) {
			rt.Fatalf("it is written here and not read here: %+v", r)
		}
	})
	if short == 0 || long == 0 {
		t.Errorf("%d records were read here, %d were not written here", short, long)
	}
}

func keyed(entries []flawless.Entry) bool {
	for _, e := range entries {
		if e.Start != nil && (e.Start.Keyed || len(e.Start.Seed) == 0) {
			return true
		}
	}
	return false
}

func drawEntry(rt *rapid.T) flawless.Entry {
	whole := rapid.Int64()
	small := rapid.IntRange(0, 1<<20)
	text := rapid.StringN(0, 40, 300)
	raw := rapid.SliceOfN(rapid.Byte(), 0, 300)
	rarely := func(name string) bool { return rapid.IntRange(0, 19).Draw(rt, name) == 0 }
	e := flawless.Entry{At: whole.Draw(rt, "at")}
	switch rapid.IntRange(0, 6).Draw(rt, "kind") {
	case 0:
		e.Start = &flawless.Start{Module: text.Draw(rt, "module"), Digest: text.Draw(rt, "digest"), Workflow: text.Draw(rt, "workflow"), Input: raw.Draw(rt, "input"),
			Seed: raw.Draw(rt, "seed"), Time: whole.Draw(rt, "time"), Keyed: rarely("keyed"), URL: text.Draw(rt, "url")}
		if rarely("label") {
			e.Start.Labels = map[string]string{"a": "b"}
		}
		if rarely("parent") {
			e.Start.Parent = "p"
		}
	case 1, 2:
		u := &flawless.Turn{N: small.Draw(rt, "n"), Time: whole.Draw(rt, "time"), Answers: rapid.SliceOfN(small, 0, 30).Draw(rt, "answers"),
			Data: raw.Draw(rt, "data"), Wake: whole.Draw(rt, "wake"), Cost: rapid.Uint64().Draw(rt, "cost")}
		for range rapid.IntRange(0, 30).Draw(rt, "calls") {
			u.Calls = append(u.Calls, flawless.Call{N: small.Draw(rt, "call"), Kind: rapid.SampledFrom([]string{"http", "send", ""}).Draw(rt, "of"), Head: raw.Draw(rt, "head"), Body: raw.Draw(rt, "body")})
		}
		for range rapid.IntRange(0, 3).Draw(rt, "lines") {
			u.Lines = append(u.Lines, flawless.Line{Level: text.Draw(rt, "level"), Text: text.Draw(rt, "text"), Fields: raw.Draw(rt, "fields"), Site: text.Draw(rt, "site")})
		}
		if rarely("ended") {
			u.Ended = &flawless.Ended{Output: raw.Draw(rt, "output")}
		}
		if rarely("failed") {
			u.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: "k"}}
		}
		if rarely("labels") {
			u.Labels = map[string]string{"a": "b"}
		}
		e.Turn = u
	case 3, 4:
		a := &flawless.Arrival{Answer: flawless.Answer{Call: small.Draw(rt, "call"), Head: raw.Draw(rt, "head"), Body: raw.Draw(rt, "body")}, Note: text.Draw(rt, "note"), Message: small.Draw(rt, "message")}
		for range rapid.IntRange(0, 3).Draw(rt, "stages") {
			a.Stages = append(a.Stages, flawless.Stage{Name: text.Draw(rt, "stage"), At: whole.Draw(rt, "at")})
		}
		e.Arrival = a
	case 5:
		e.Attempt = &flawless.Attempt{Call: 1}
	}
	return e
}
