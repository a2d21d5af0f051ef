package flagvalue

import (
	"testing"
)

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
