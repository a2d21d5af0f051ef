package cron

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, cron, zone, after string
		want                    []string // in UTC
	}{
		{"every quarter of an hour", "*/15 * * * *", "", "2026-03-01T10:50:01Z", []string{"2026-03-01T11:00:00Z", "2026-03-01T11:15:00Z"}},
		{"strictly after", "0 12 * * *", "UTC", "2026-03-01T12:00:00Z", []string{"2026-03-02T12:00:00Z"}},
		{"a moment before", "0 12 * * *", "UTC", "2026-03-01T11:59:59.999Z", []string{"2026-03-01T12:00:00Z"}},
		{"with seconds", "*/20 * * * * *", "UTC", "2026-03-01T11:59:45Z", []string{"2026-03-01T12:00:00Z", "2026-03-01T12:00:20Z"}},
		{"weekdays by name", "0 9 * * MON-FRI", "Europe/Berlin", "2026-01-02T09:00:00Z", []string{"2026-01-05T08:00:00Z"}},
		{"the last day of the month", "0 0 L * *", "UTC", "2028-02-10T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"}},
		{"leap days", "0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"a word", "@daily", "America/New_York", "2026-01-01T12:00:00Z", []string{"2026-01-02T05:00:00Z"}},
		{"a year that ends", "0 0 1 1 * 2027", "UTC", "2026-03-01T00:00:00Z", []string{"2027-01-01T00:00:00Z", ""}},
		{"the 31st of February", "0 0 31 2 *", "UTC", "2026-03-01T00:00:00Z", []string{""}},

		// 2026-03-29, Berlin: 01:59:59 is followed by 03:00:00. 2026-10-25: 02:59:59 by 02:00:00.
		{"a time that does not exist", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"many that do not exist are one", "*/15 2-3 * * *", "Europe/Berlin", "2026-03-29T00:50:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"}},
		{"a time that occurs twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"every half hour that occurs twice", "*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"}},
		{"the hour before the jump", "30 1 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-24T23:30:00Z", "2026-10-26T00:30:00Z"}},
		{"a jump at midnight", "30 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", []string{"2026-09-06T04:00:00Z", "2026-09-07T03:30:00Z"}},
		{"a jump by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		{"a day that does not exist", "0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", []string{"2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e, err := Parse(row.cron, row.zone)
			if err != nil {
				t.Fatal(err)
			}
			after := at(t, row.after)
			for _, want := range row.want {
				next, ok := e.Next(after)
				got := ""
				if ok {
					got = next.UTC().Format(time.RFC3339)
				}
				if got != want {
					t.Fatalf("after %v comes %q, want %q", after, got, want)
				}
				after = next
			}
		})
	}
}

// TestNextMatchesEachHourOnce checks that every local hour matches once and in order, in zones with all kinds of clock
// changes.
func TestNextMatchesEachHourOnce(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "UTC"} {
		e, err := Parse("0 * * * *", zone)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
		for at.Year() == 2026 {
			next, ok := e.Next(at)
			if !ok || !next.After(at) || next.Sub(at) > 3*time.Hour {
				t.Fatalf("%s: after %v comes %v", zone, at, next)
			}
			at = next
			wall := next.In(e.zone).Format("2006-01-02 15:04")
			if seen[wall] {
				t.Errorf("%s: %s comes due twice", zone, wall)
			}
			seen[wall] = true
		}
	}
}

func TestInvalidExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ cron, zone, want string }{
		{"", "UTC", "minute, hour"},
		{"* * * *", "UTC", "has 4 fields, and needs 5 to 7; use minute, hour"},
		{"0 0 0 1 1 * 2030 x", "UTC", "has 8 fields"},
		{"1,, * * * *", "UTC", `"" is not a number`},
		{"61 * * * *", "UTC", "out of bounds"},
		{"* 24 * * *", "UTC", "out of bounds"},
		{"x * * * *", "UTC", "is invalid ("},
		{"*/0 * * * *", "UTC", "is invalid ("},
		{"@every 5m", "UTC", "is invalid ("},
		{"@reboot", "UTC", "is invalid ("},
		{"* * * * *", "Europe/Nowhere", "time zone"},
		{"* * * * *", "Local", "time zone"},
		{"* * * * *", "../etc/passwd", "time zone"},
		{strings.Repeat("1,", 1000) + " * * * *", "UTC", "2008 bytes"},
		{strings.Repeat("1,", 50) + "x * * * *", "UTC", "is invalid ("},
	} {
		if _, err := Parse(row.cron, row.zone); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Parse(%.50q, %q) = %v, want %q", row.cron, row.zone, err, row.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "0 0 L * 5#2", "@daily", "*/5 1-3,7 1W JAN MON 2030"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text, "Europe/Berlin")
		if err != nil {
			return
		}
		from := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)
		if next, ok := e.Next(from); ok && !next.After(from) {
			t.Errorf("%q: after %v comes %v", text, from, next)
		}
	})
}
