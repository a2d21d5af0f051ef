package flagvalue

import (
	"testing"
	"time"
)

func TestTimeFlag(t *testing.T) {
	t.Parallel()
	printed := time.Date(2026, 3, 1, 6, 30, 5, 0, time.Local).Format("2006-01-02 15:04:05Z07:00") // as commands print it
	for text, want := range map[string]time.Time{
		"2026-03-01T06:00:00Z":      time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC),
		"2026-03-01T06:00:00+02:00": time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
		"2026-03-01 06:30":          time.Date(2026, 3, 1, 6, 30, 0, 0, time.Local),
		printed:                     time.Date(2026, 3, 1, 6, 30, 5, 0, time.Local),
	} {
		var f Time
		if err := f.Set(text); err != nil || !time.Time(f).Equal(want) {
			t.Errorf("%s is %v, %v", text, time.Time(f), err)
		}
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "01.03.2026"} {
		if err := new(Time).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
