package key_test

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// TestKeysKeepTheirBytes has keys of this format. They never change.
func TestKeysKeepTheirBytes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, want string
		got        key.Key
	}{
		{"format", "F", key.Format.Key()},
		{"a lease", "l\x00\x07", key.OfLease(7)},
		{"the lease of caps", "l\x01\x00", key.OfLease(key.ShardOfCaps)},
		{"a head", "h\xdforder-7.3\x00\x01", key.Head.Of("order-7.3")},
		{"a record", "r\xdforder-7\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02", key.Record.Of("order-7").Number(0x102)},
		{"a state", "g\xe3a\x00\xffb\x00\x01", key.State.Named(key.KindState, "a\x00b")},
		{"a schedule", "C\x04a\x00\x01", key.Schedule.Named(key.KindSchedule, "a")},
		{"the limit of a host", "H\xf5a\x00\x01", key.Limit.Named(key.KindHost, "a")},
		{"a run in a list", "s" + "ended\x00\x01" + "\x80\x00\x00\x00\x00\x00\x00\x05" + "a\x00\x01", key.Status.Key().Text("ended").Time(time.Unix(0, 5)).Text("a")},
		{"a timer before 1970", "t\x09\x7f\xff\xff\xff\xff\xff\xff\xff", key.Timer.Key().Shard(9).Moment(-1)},
	} {
		if string(row.got) != row.want {
			t.Errorf("the key of %s is %q, want %q", row.name, row.got, row.want)
		}
	}
}

// anyText has short texts of few bytes, so that many of them are equal, prefixes of each other, or like an end mark.
var anyText = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 0, 4), func(b []byte) string { return string(b) })

// parts are those of a made-up family.
type parts struct {
	a, b string
	at   int64
	n    uint64
}

func (p parts) key() key.Key { return key.Record.Key().Text(p.a).Moment(p.at).Text(p.b).Number(p.n) }

func (p parts) compare(q parts) int {
	return cmp.Or(strings.Compare(p.a, q.a), cmp.Compare(p.at, q.at), strings.Compare(p.b, q.b), cmp.Compare(p.n, q.n))
}

var anyParts = rapid.Custom(func(t *rapid.T) parts {
	return parts{anyText.Draw(t, "a"), anyText.Draw(t, "b"), rapid.Int64Range(-2, 2).Draw(t, "at") * rapid.SampledFrom([]int64{1, math.MaxInt64 / 2}).Draw(t, "factor"), rapid.Uint64Range(0, 300).Draw(t, "n")}
})

// TestKeysSortByTheirParts, none is a prefix of another, and their parts can be read.
func TestKeysSortByTheirParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyParts.Draw(t, "one"), anyParts.Draw(t, "other")
		if got, want := bytes.Compare(p.key(), q.key()), p.compare(q); got != want {
			t.Errorf("keys %q and %q compare as %d, their parts as %d", p.key(), q.key(), got, want)
		}
		if p != q && bytes.HasPrefix(q.key(), p.key()) {
			t.Errorf("key %q is a prefix of %q", p.key(), q.key())
		}
		k := p.key()
		r := key.Split(k, 1)
		if got := (parts{a: r.Text(), at: r.Moment(), b: r.Text(), n: r.Number()}); got != p || r.Whole(k) != nil {
			t.Errorf("key %q was made of %+v, but reads as %+v, %v", k, p, got, r.Whole(k))
		}
		for n := range k { // what is left of it
			r := key.Split(k[:n], 1)
			_, _, _, _ = r.Text(), r.Moment(), r.Text(), r.Number()
			if err := r.Whole(k[:n]); !errors.Is(err, flawless.Damaged) {
				t.Errorf("key %q is whole without its end, as %q: %v", k, k[:n], err)
			}
		}
		more := append(slices.Clone(k), 0)
		r = key.Split(more, 1)
		_, _, _, _ = r.Text(), r.Moment(), r.Text(), r.Number()
		if r.Bad() || !errors.Is(r.Whole(more), flawless.Damaged) {
			t.Errorf("key %q with one more byte: bad %v, whole: %v", more, r.Bad(), r.Whole(more))
		}
	})
}

// TestEndIsBehindAllKeysWithAPrefix, and before all others that follow.
func TestEndIsBehindAllKeysWithAPrefix(t *testing.T) {
	t.Parallel()
	raw := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		prefix, k := key.Key(raw.Draw(t, "prefix")), raw.Draw(t, "key")
		before := string(prefix)
		end := prefix.End()
		in := bytes.Compare(k, prefix) >= 0 && (end == nil || bytes.Compare(k, end) < 0)
		if in != bytes.HasPrefix(k, prefix) || string(prefix) != before {
			t.Errorf("key %q is in the range from %q (now %q) to %q: %v", k, before, prefix, end, in)
		}
	})
}

// FuzzParts reads keys of any bytes: what reads as whole is what the same parts make.
func FuzzParts(f *testing.F) {
	f.Add([]byte("r\xd2order-7\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02"))
	f.Add([]byte("h\x00a\x00\xff\x00\x01"))
	f.Add([]byte("g\x00a\x00\x02\x00\x01"))
	f.Add([]byte("l\x01\x00"))
	f.Fuzz(func(t *testing.T, k []byte) {
		before := bytes.Clone(k)
		p := key.SplitOwned(k)
		id, n := p.Text(), p.Number()
		if p.Whole(k) == nil {
			if again := key.Family(k[0]).Key().Shard(key.ShardIn(k)).Text(id).Number(n); !bytes.Equal(again, k) {
				t.Errorf("key %q has the parts %q and %d, which make %q", k, id, n, again)
			}
			if o := key.Owner(k); !bytes.Equal(o, k[:len(k)-8]) {
				t.Errorf("the owner of key %q is %q", k, o)
			}
		}
		for name, o := range map[string]key.Key{"owner": key.Owner(k), "first text": key.FirstText(k)} {
			if o != nil && !bytes.HasPrefix(k, o) {
				t.Errorf("the %s of key %q is %q", name, k, o)
			}
		}
		if sh, err := key.ShardOfLease(k); err == nil && !bytes.Equal(key.OfLease(sh)[1:], k[1:]) {
			t.Errorf("key %q is the lease of shard %d, whose key is %q", k, sh, key.OfLease(sh))
		}
		if !bytes.Equal(k, before) {
			t.Errorf("reading has changed key %q to %q", before, k)
		}
	})
}

// TestTimesOutOfRangeSort before and behind all others.
func TestTimesOutOfRangeSort(t *testing.T) {
	t.Parallel()
	at := func(year int) key.Key { return key.Created.Key().Time(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)) }
	for _, years := range [][2]int{{1, 1678}, {1678, 1969}, {1969, 1970}, {1970, 2026}, {2026, 2261}, {2261, 2262}, {2261, 9999}} {
		if bytes.Compare(at(years[0]), at(years[1])) >= 0 {
			t.Errorf("the key of year %d does not sort before that of %d", years[0], years[1])
		}
	}
	if !bytes.Equal(at(2262), at(9999)) {
		t.Error("times that are too late do not have the same key")
	}
}

func TestFamilyOfRunsIsInOneShard(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"order-7.3", "order-7.3.1"} {
		if key.ShardOf(id) != key.ShardOf("order-7") {
			t.Errorf("run %s is in shard %d, order-7 in shard %d", id, key.ShardOf(id), key.ShardOf("order-7"))
		}
	}
	if key.ShardOf("order-7.a") == key.ShardOf("order-7") {
		t.Error("order-7.a is in the shard of order-7, although it is no descendant") // the hashes differ
	}
}
