package form

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Shell returns a command line from its words, quoted for a POSIX shell.
func Shell(words ...string) string {
	var out []string
	for _, w := range words {
		out = append(out, Quote(w))
	}
	return strings.Join(out, " ")
}

// bare matches words that a shell takes as they are.
var bare = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// Quote returns a word as a POSIX shell reads it. A character that cannot be seen, or that changes the order of others, is written
// as \u and its number, as in JSON.
func Quote(word string) string {
	var b strings.Builder
	for _, r := range word {
		switch {
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	if word = b.String(); bare.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// ParseSpan reads a duration as the command line does: 90d, 12h, 1h30m.
func ParseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%.50q is not a duration; use a form such as 30s, 12h or 90d", text)
	}
	return d, nil
}

// Span returns a duration in the form that [ParseSpan] reads.
func Span(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
