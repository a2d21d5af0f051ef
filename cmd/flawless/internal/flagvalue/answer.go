package flagvalue

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// Answers returns the answers that --answer (CALL=FILE) and --status (CALL=STATUS) give. It returns [flawless.Invalid] for a
// value of another form, and for a file that cannot be read.
func Answers(files, statuses []string) (out []client.GivenAnswer, err error) {
	split := func(s, what string) (int, string, error) {
		call, rest, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(call)
		if !ok || err != nil || n < 1 {
			return 0, "", fmt.Errorf("%q is not CALL=%s, such as 4=%s: %w", s, what, strings.ToLower(what), flawless.Invalid)
		}
		return n, rest, nil
	}
	for _, s := range files {
		n, file, err := split(s, "FILE")
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the answer of call %d: %v: %w", n, err, flawless.Invalid)
		}
		out = append(out, client.GivenAnswer{Call: n, Body: b})
	}
	for _, s := range statuses {
		n, text, err := split(s, "STATUS")
		if err != nil {
			return nil, err
		}
		status, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an HTTP status: %w", text, flawless.Invalid)
		}
		at := slices.IndexFunc(out, func(g client.GivenAnswer) bool { return g.Call == n })
		if at < 0 {
			out = append(out, client.GivenAnswer{Call: n})
			at = len(out) - 1
		}
		out[at].Status = status
	}
	return out, nil
}
