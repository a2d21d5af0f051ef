package render

import (
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func TestTimeHasZoneAndDate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 6, 30, 5, 7e6, time.Local)
	zone := at.Format("Z07:00")
	for want, today := range map[string]time.Time{
		"06:30:05" + zone:            at.Add(time.Hour),
		"2026-03-01 06:30:05" + zone: at.AddDate(0, 0, 1),
	} {
		got := clock(at, today, "15:04:05")
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	var b strings.Builder
	p := NewLog(&b)
	next := at.Add(20 * time.Hour)
	p.entry(flawless.Entry{At: at.UnixNano(), Attempt: &flawless.Attempt{Call: 2, N: 1, Result: "503", Next: next.UnixNano()}})
	if got := b.String(); !strings.HasPrefix(got, "2026-03-01, UTC"+strings.TrimPrefix(at.Format("-07:00"), "+00:00")+"\n06:30:05.007  ") || !strings.Contains(got, "next at 2026-03-02 02:30:05.007"+zone) {
		t.Errorf("the log line is %s", got)
	}
}
