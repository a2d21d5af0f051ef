package codec

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
)

// TestRecordsEncodeAsTheLibraryDoes draws records, some of which are not usual.
func TestRecordsEncodeAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	short, long := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		r := Record{Epoch: rapid.Uint64().Draw(rt, "epoch"), Entries: rapid.SliceOfN(rapid.Custom(drawEntry), 1, 4).Draw(rt, "entries")}
		written, read := compare(rt, c, r)
		if !written {
			long++
		}
		if read {
			short++
		} else if written && !keyed(r.Entries) {
			rt.Fatalf("appendRecord writes it, but parseRecord does not read it: %+v", r)
		}
	})
	if short == 0 || long == 0 {
		t.Errorf("parseRecord read %d records, appendRecord did not write %d; want some of both", short, long)
	}
}

// compare checks appendRecord and parseRecord against the library, and reports which of them handled r.
func compare(t rapid.TB, c Codec, r Record) (written, read bool) {
	var whole bytes.Buffer
	if err := c.enc.MarshalToBuffer(&r, &whole); err != nil {
		t.Fatal(err)
	}
	var want Record
	if err := c.dec.Unmarshal(whole.Bytes(), &want); err != nil {
		t.Fatal(err)
	}
	if written = usual(r.Entries); written {
		if got := appendRecord(nil, &r); !bytes.Equal(got, whole.Bytes()) {
			t.Fatalf("%+v is encoded as\n%x\nthe library writes\n%x", r, got, whole.Bytes())
		}
	}
	got, read := parseRecord(whole.Bytes())
	if diff := cmp.Diff(want, got); read && diff != "" {
		t.Fatalf("parseRecord differs from the library (-library +parseRecord):\n%s", diff)
	}
	return written, read
}

// TestEveryFieldOfARecordSurvives encodes and decodes entries with one field each, for all fields there are.
func TestEveryFieldOfARecordSurvives(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	n := 0
	for _, set := range variants(reflect.TypeFor[flawless.Entry]()) {
		var e flawless.Entry
		set(reflect.ValueOf(&e).Elem())
		if written, _ := compare(t, c, Record{Epoch: 1, Entries: []flawless.Entry{e}}); written {
			n++
		}
	}
	if n < 30 {
		t.Errorf("appendRecord writes only %d fields", n)
	}
}

// variants returns functions that each set a different field of a value of a type.
func variants(typ reflect.Type) (all []func(reflect.Value)) {
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			for _, set := range variants(typ.Field(i).Type) {
				all = append(all, func(v reflect.Value) {
					if s, ok := v.Addr().Interface().(*flawless.Start); ok {
						s.Seed = []byte{1} // a start without a seed is never usual
					}
					set(v.Field(i))
				})
			}
		}
	case reflect.Pointer:
		for _, set := range variants(typ.Elem()) {
			all = append(all, func(v reflect.Value) {
				v.Set(reflect.New(typ.Elem()))
				set(v.Elem())
			})
		}
	case reflect.Slice:
		for _, set := range variants(typ.Elem()) {
			all = append(all, func(v reflect.Value) {
				v.Set(reflect.MakeSlice(typ, 1, 1))
				set(v.Index(0))
			})
		}
	case reflect.Map:
		all = append(all, func(v reflect.Value) {
			v.Set(reflect.MakeMap(typ))
			v.SetMapIndex(reflect.ValueOf("a"), reflect.ValueOf("b"))
		})
	case reflect.String:
		all = append(all, func(v reflect.Value) { v.SetString("x") })
	case reflect.Bool:
		all = append(all, func(v reflect.Value) { v.SetBool(true) })
	case reflect.Int, reflect.Int64:
		all = append(all, func(v reflect.Value) { v.SetInt(7) })
	case reflect.Uint8, reflect.Uint64:
		all = append(all, func(v reflect.Value) { v.SetUint(7) })
	default:
		panic("variants does not know the type " + typ.String())
	}
	return all
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
