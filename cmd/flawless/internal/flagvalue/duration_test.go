package flagvalue

import (
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func TestDurationFlag(t *testing.T) {
	t.Parallel()
	for text, row := range map[string]struct {
		want  time.Duration
		shown string
	}{
		"30s": {30 * time.Second, "30s"}, "60s": {time.Minute, "1m"}, "1h30m": {90 * time.Minute, "1h30m"}, "1h0m5s": {time.Hour + 5*time.Second, "1h0m5s"},
		"1h0m0s": {time.Hour, "1h"}, "24h": {day, "1d"}, "7d": {7 * day, "7d"}, "0": {0, "0"}, "0d": {0, "0"}, "10ms": {10 * time.Millisecond, "10ms"}, "3650d": {10 * year, "3650d"},
	} {
		var got time.Duration
		d := NewDuration(&got, time.Hour, 0, 10*year)
		if err := d.Set(text); err != nil || got != row.want || d.String() != row.shown {
			t.Errorf("%s is %v, shown as %s, %v", text, got, d, err)
		}
	}
}

// TestDurationOutsideOfLimits: the error says which limit, and what it suggests is accepted.
func TestDurationOutsideOfLimits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text, want        string
		shortest, longest time.Duration
	}{
		{"", `"" is not a duration; use a value such as 30s, 12h or 7d`, 0, year},
		{"d", "is not a duration; use a value such as 30s, 12h or 7d", 0, year},
		{"1.5d", "is not a duration", 0, year},
		{"30", "is not a duration", 0, year},
		{"forever", "is not a duration; use a value such as 30s or 12h", 0, day},
		{"-1d", "is negative; use a value such as 30s, 12h or 7d", 0, year},
		{"-5m", "is negative", time.Millisecond, year},
		{"-9999999999h", "is negative", 0, year},
		{"0", "is too short; use at least 1ms", time.Millisecond, year},
		{"0d", "is too short; use at least 1ms", time.Millisecond, year},
		{"500us", "is too short; use at least 1ms", 0, year},
		{"5s", "is too short; use at least 10s", 10 * time.Second, year},
		{"3651d", "is too long; use at most 3650d", 0, 10 * year},
		{"106751d", "is too long; use at most 3650d", 0, 10 * year},
		{"106752d", "is too long; use at most 3650d", 0, 10 * year},
		{"99999999999999999999d", "is too long; use at most 3650d", 0, 10 * year},
		{"9223372036854775807ns", "is too long; use at most 3650d", 0, 10 * year},
		{"9223372036854775808ns", "is too long; use at most 3650d", 0, 10 * year},
		{"9999999999h30m", "is too long; use at most 1d", 0, day},
	} {
		got := time.Hour
		err := NewDuration(&got, time.Hour, row.shortest, row.longest).Set(row.text)
		if err == nil || !strings.Contains(err.Error(), row.want) || got != time.Hour {
			t.Errorf("%q is %v, %v, want %s", row.text, got, err, row.want)
			continue
		}
		checkSuggestions(t, err, NewDuration(&got, 0, row.shortest, row.longest).Set)
	}
}

// checkSuggestions checks that a flag accepts the values that its error suggests.
func checkSuggestions(t *testing.T, err error, set func(string) error) {
	t.Helper()
	_, after, _ := strings.Cut(err.Error(), "; use ")
	for _, lead := range []string{"a value such as ", "at least ", "at most "} {
		after = strings.TrimPrefix(after, lead)
	}
	for value := range strings.SplitSeq(strings.ReplaceAll(after, " or ", ", "), ", ") {
		if e := set(value); value == "" || e != nil {
			t.Errorf("%v: %v", err, e)
		}
	}
}

func TestRetentionFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Retention{"90d": 7_776_000_000, "12h": 43_200_000, "1h30m": 5_400_000, "36500d": Retention(flawless.MaxRetention.Milliseconds()), "forever": -1, "default": 0} {
		var r Retention
		if err := r.Set(text); err != nil || r != want {
			t.Errorf("%s is %d, %v", text, r, err)
		}
	}
	for text, want := range map[string]string{"": "is not a", "d": "is not a", "0d": "too short", "-1d": "is negative", "-1h": "is negative", "0": "too short", "30": "is not a", "99999d": "too long", "always": "forever or default", "none": "is not a"} {
		err := new(Retention).Set(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
			continue
		}
		checkSuggestions(t, err, new(Retention).Set)
	}
}

func TestRetryForFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]RetryFor{"1h": 3_600_000, "366d": RetryFor(flawless.MaxRetryFor.Milliseconds()), "0": 0, "0s": 0, "none": 0, "default": -1} {
		var r RetryFor
		if err := r.Set(text); err != nil || r != want {
			t.Errorf("%s is %d, %v", text, r, err)
		}
	}
	for text, want := range map[string]string{"": "is not a", "-1": "is not a", "-1s": "is negative", "1us": "too short; use at least 1ms", "367d": "too long; use at most 366d", "forever": "0, none or default"} {
		err := new(RetryFor).Set(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
			continue
		}
		checkSuggestions(t, err, new(RetryFor).Set)
	}
}
