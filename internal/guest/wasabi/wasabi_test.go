package wasabi

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// dice is a guest that has nothing but randomness.
type dice struct{ Guest }

func (dice) Random() uint64 { return 1 << 63 }

func TestTimeoutsAreClamped(t *testing.T) {
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

// TestRandomTakesOneType checks that a command with several types is refused.
func TestRandomTakesOneType(t *testing.T) {
	t.Parallel()
	for text, fits := range map[string]bool{`{"I64":null}`: true, `{}`: false, `{"Bool":null,"I64":null}`: false, `{"I7":null}`: false} {
		var of map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &of); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if _, trapped := recover().(*Fault); trapped == fits {
					t.Errorf("%s: it traps: %v", text, trapped)
				}
			}()
			(&Session{guest: dice{}}).draw(of)
		}()
	}
}

// TestBodyEncodingsRoundTrip checks that bodies are encoded in the form in which they came. An empty body is nil in a
// replay, and the guest must see the same.
func TestBodyEncodingsRoundTrip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`""`: "", `"AAn/"`: "\x00\x09\xff", `[]`: "", `[0,9,255]`: "\x00\x09\xff", `[ 0 , 9 , 255 ]`: "\x00\x09\xff"} {
		var o octets
		if err := json.Unmarshal([]byte(text), &o); err != nil || string(o.bytes) != want {
			t.Errorf("%s: %q, %v", text, o.bytes, err)
		}
		if len(o.bytes) == 0 {
			o.bytes = nil
		}
		if b, err := json.Marshal(o); err != nil || string(b) != strings.ReplaceAll(text, " ", "") {
			t.Errorf("%s comes back as %s, %v", text, b, err)
		}
	}
	for _, text := range []string{`[256]`, `[-1]`, `[1,]`, `["a"]`, `"*"`, `{}`, `7`} {
		if err := json.Unmarshal([]byte(text), new(octets)); err == nil {
			t.Errorf("%s is accepted as bytes", text)
		}
	}
}
