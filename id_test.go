package flawless

import (
	"errors"
	"slices"
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

func TestCheckIDRefuses(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a b", "a/b", "a\nb", "\xff", strings.Repeat("x", MaxID+1)} {
		if err := CheckID(id); !errors.Is(err, Invalid) {
			t.Errorf("CheckID(%q) = %v, want Invalid", id, err)
		}
	}
	for _, id := range []string{"order-4711", "Ä€", strings.Repeat("x", MaxID)} {
		if err := CheckID(id); err != nil {
			t.Errorf("CheckID(%q) = %v", id, err)
		}
	}
}
