package flawless

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRunIDsSortByTime(t *testing.T) {
	t.Parallel()
	var ids []string
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 100 {
		at = at.Add(7 * time.Millisecond)
		ids = append(ids, NewRunID(at))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids do not sort by time: %q", ids)
	}
	for _, id := range ids {
		if err := CheckID(id); err != nil || len(id) != 30 || !strings.HasPrefix(id, "wkf_") {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if len(slices.Compact(ids)) != 100 {
		t.Error("two ids are the same")
	}
}

func TestCheckIDRejects(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a b", "a/b", "a\nb", "\xff", strings.Repeat("x", MaxID+1), ".", "..", "a ", "a\u200bb", "\ufeffa", "a\u202eb", "a\u00a0b"} {
		if err := CheckID(id); !errors.Is(err, Invalid) {
			t.Errorf("CheckID(%q) = %v, want Invalid", id, err)
		}
	}
	for _, id := range []string{"order-4711", "Ä€", strings.Repeat("x", MaxID), "...", "a.", ".a", "%2F", "a%2Fb", "?", "#", "-x", "a:b", "\\"} {
		if err := CheckID(id); err != nil {
			t.Errorf("CheckID(%q) = %v", id, err)
		}
	}
}

func TestNewIDsCannotBelongToSchedules(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.FixedZone("", 3600))
	slot := ScheduledID("nightly", at)
	if slot != "nightly@2026-03-01T01:00:00Z" || CheckID(slot) != nil {
		t.Errorf("the id of a time is %q: %v", slot, CheckID(slot))
	}
	for _, id := range []string{slot, "nobody@2026-03-01T01:00:00Z", "@2026-03-01T01:00:00Z", "a@b@2026-03-01T01:00:00Z",
		"nightly@2026-03-01t01:00:00z", "nightly@2026-03-01T01:00:00.5Z", "nightly@2026-03-01T01:00:00+01:00",
		slot + ".3", slot + ".3.14", "nightly@2026-03-01T01:00:00.5Z.2", "nightly@2026-03-01T01:00:00+01:00.2"} {
		if err := CheckNewID(id); !errors.Is(err, Invalid) || !strings.Contains(err.Error(), "schedule") {
			t.Errorf("CheckNewID(%q) = %v", id, err)
		}
	}
	for _, id := range []string{"nightly", "nightly@today", "ann@example.com", "report@2026-03-01", slot + ".x", slot + ".", "2026-03-01T01:00:00Z"} {
		if err := CheckNewID(id); err != nil {
			t.Errorf("CheckNewID(%q) = %v", id, err)
		}
	}
}

// TestNewIDsCannotBelongToChildren guards against a run with an id that a child will need, which would make its
// parent fail.
func TestNewIDsCannotBelongToChildren(t *testing.T) {
	t.Parallel()
	for id, instead := range map[string]string{"order-7.2": "order-7-2", "order-7.2.14": "order-7-2-14", "10.0.0.1": "10-0-0-1", "v1.007": "v1-007",
		"report@2026-03-01.3": "report@2026-03-01-3", ".5": "-5", "a..0": "a.-0"} {
		if err := CheckNewID(id); !errors.Is(err, Invalid) || !strings.Contains(err.Error(), "child") || !strings.Contains(err.Error(), strconv.Quote(instead)) {
			t.Errorf("CheckNewID(%q) = %v, want a refusal that offers %q", id, err, instead)
		}
		if err := CheckNewID(instead); err != nil {
			t.Errorf("CheckNewID(%q), which is offered instead: %v", instead, err)
		}
		if err := errors.Join(CheckID(id), CheckImportedID(id)); err != nil { // children can be looked at and imported
			t.Errorf("a child %q: %v", id, err)
		}
	}
	for _, id := range []string{"order-7", "7", "v1.2-rc", "a.", "a.x7", "a.7x", "a.٣", NewRunID(time.Now())} {
		if err := CheckNewID(id); err != nil {
			t.Errorf("CheckNewID(%q) = %v", id, err)
		}
	}
}

func TestBlankLabelValuesAreRefused(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]error{" ": Invalid, "\u00a0\u2003": Invalid, "a\nb": Invalid, "\xff": Invalid, " a ": nil, "naïve": nil} {
		if err := CheckLabel("name", value); !errors.Is(err, want) {
			t.Errorf("the value %q: %v", value, err)
		}
	}
}

// TestNewIDsAreUnicode rejects U+FFFD, which JSON decoding puts in place of half a surrogate pair.
func TestNewIDsAreUnicode(t *testing.T) {
	t.Parallel()
	var id string
	if err := json.Unmarshal([]byte(`"u\ud800"`), &id); err != nil {
		t.Fatal(err)
	}
	if err := CheckNewID(id); !errors.Is(err, Invalid) || !strings.Contains(err.Error(), "U+FFFD") {
		t.Errorf("CheckNewID(%q) = %v", id, err)
	}
	if err := CheckID(id); err != nil { // runs that have one can still be looked at
		t.Errorf("CheckID(%q) = %v", id, err)
	}
}

func TestInvalidNamesAreRejected(t *testing.T) {
	t.Parallel()
	for what, check := range map[string]func(string) error{
		"module":              func(n string) error { return CheckName("a name", n) },
		"workflow":            CheckWorkflowName,
		"state":               CheckStateName,
		"secret":              CheckSecretName,
		"label":               func(n string) error { return CheckLabel(n, "x") },
		"message or its type": func(n string) error { return CheckKey("a key", n) },
		"queue": func(n string) error {
			if n == "" {
				return CheckKey("a key", n) // a run may have none
			}
			return (&QueueOptions{Key: n}).Check()
		},
		"limit": func(n string) error { return (&Limit{Host: n, Count: 1, PeriodMS: 1000}).Check() },
	} {
		inURL := what != "message or its type" && what != "queue"
		for _, name := range []string{"", ".", "..", " ", "\u00a0", "a\x00", "a\nb", " a", "a ", "\xff", "a\u200b", "a\u2028b", "a\u200fb", strings.Repeat("x", 300)} {
			if err := check(name); !errors.Is(err, Invalid) && (inURL || strings.Trim(name, ".") != "") {
				t.Errorf("the name %q of a %s: %v", name, what, err)
			}
		}
		for _, name := range []string{"a", "a1", "order_4711"} {
			if err := check(name); err != nil {
				t.Errorf("the name %q of a %s: %v", name, what, err)
			}
		}
	}
}
