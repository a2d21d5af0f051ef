package flagvalue

import (
	"testing"
	"time"
)

func TestDurationFlag(t *testing.T) {
	t.Parallel()
	for text, row := range map[string]struct {
		want  time.Duration
		shown string
	}{
		"30s": {30 * time.Second, "30s"}, "60s": {time.Minute, "1m"}, "1h30m": {90 * time.Minute, "1h30m"}, "1h0m5s": {time.Hour + 5*time.Second, "1h0m5s"},
		"1h0m0s": {time.Hour, "1h"}, "24h": {24 * time.Hour, "1d"}, "7d": {7 * 24 * time.Hour, "7d"}, "0": {0, "0"}, "0d": {0, "0"}, "10ms": {10 * time.Millisecond, "10ms"},
	} {
		var got time.Duration
		d := NewDuration(&got, time.Hour)
		if err := d.Set(text); err != nil || got != row.want || d.String() != row.shown {
			t.Errorf("%s is %v, shown as %s, %v", text, got, d, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-1h", "1.5d", "30", "99999d", "always", "forever"} {
		if err := new(Duration).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestRetentionFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Retention{"90d": 7_776_000_000, "12h": 43_200_000, "1h30m": 5_400_000, "forever": -1, "default": 0} {
		var r Retention
		if err := r.Set(text); err != nil || r != want {
			t.Errorf("%s is %d, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "d", "0d", "-1d", "-1h", "0", "30", "99999d", "always"} {
		if err := new(Retention).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
