package guest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTimeoutsOfTheCrate(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		asked duration
		want  string
	}{
		{duration{}, `"timeout_ms":1,`},
		{duration{Nanos: 1_000_001}, `"timeout_ms":2,`},
		{duration{Secs: 10, Nanos: 999_999_999}, `"timeout_ms":11000,`},
		{duration{Secs: 1 << 33}, `"timeout_ms":86400000,`},
		{duration{Secs: math.MaxUint64, Nanos: 999_999_999}, `"timeout_ms":86400000,`},
	} {
		r := httpRequest{Method: "POST", URL: "http://x"}
		if r.Config.Timeout = row.asked; !strings.Contains(string(r.head(false)), row.want) {
			t.Errorf("%+v: %s, want %s", row.asked, r.head(false), row.want)
		}
	}
}

// TestOneRandomNumberAtATime: of two types nobody could tell which is drawn.
func TestOneRandomNumberAtATime(t *testing.T) {
	t.Parallel()
	for text, fits := range map[string]bool{`{"I64":null}`: true, `{}`: false, `{"Bool":null,"I64":null}`: false, `{"I7":null}`: false} {
		var of map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &of); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if _, trapped := recover().(*fault); trapped == fits {
					t.Errorf("%s: it traps: %v", text, trapped)
				}
			}()
			(&Instance{random: rand.NewChaCha8([32]byte{})}).draw(of)
		}()
	}
}
