package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/reply"
)

// TestHugeNumbersAreExplained: a number that the code cannot hold is a value that does not fit (422), wherever it is
// given, and the problem names the member, the number and the range.
func TestHugeNumbersAreExplained(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	digits := strings.Repeat("9", 200)
	for _, row := range []struct{ number, member, message string }{
		{"9223372036854775808", "count", "9223372036854775808 is too large: give at most 9223372036854775807"},
		{"-9223372036854775809", "count", "-9223372036854775809 is too small: give at least -9223372036854775808"},
		{"1e21", "count", "1000000000000000000000 is too large: give at most 9223372036854775807"},
		{"1e400", "count", "the number 1e400 is too large for a 64-bit floating-point number, whose limit is 1.7976931348623157e308; send a string"},
		{"-1e400", "more", "the number -1e400 is too large for a 64-bit floating-point number, whose limit is 1.7976931348623157e308; send a string"},
		{"1.7976931348623158e308", "more", "the number 1.7976931348623158e308 is too close to the limit of a 64-bit floating-point number, and some decoders cannot read it; send a smaller number, the limit itself as 1.7976931348623157e308, or a string"},
		{digits, "count", "99999999999999999999… (200 characters) is too large: give at most 9223372036854775807"},
	} {
		order := `{"item":"a","` + row.member + `":` + row.number + `}`
		status, answer := o.send("POST", "/api/v1/runs", "application/json", `{"module":"guest","workflow":"order","input":`+order+`}`)
		var p reply.Problem
		err := json.Unmarshal([]byte(answer), &p)
		if err != nil || status != 422 || !strings.Contains(p.Detail, row.member+": "+row.message) || p.Code != "invalid" {
			t.Errorf("%.30s: status %d, %s, %v", row.number, status, answer, err)
		}
	}
	if status, answer := o.send("POST", "/api/v1/runs", "application/json", `{"module":"guest","workflow":"order","priority":1e400}`); status != 422 || !strings.Contains(answer, "priority is the JSON number 1e400") {
		t.Errorf("status %d, %s", status, answer)
	}
}
