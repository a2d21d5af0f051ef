// Package word writes numbers, durations and texts as people read them.
//
// It keeps no state and decides nothing about pages.
package word

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Span returns a duration with the precision that people need.
func Span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// Number returns a number with separators of thousands.
func Number(n any) string {
	s := fmt.Sprint(n)
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Size returns a number of bytes as people say it.
func Size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.0f kB", float64(n)/1000)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/(1000*1000))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(1000*1000*1000))
}

// Pretty returns JSON with line breaks, or the text itself if it is none.
func Pretty(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return strings.ToValidUTF8(string(b), "�")
	}
	return out.String()
}

// Shorten returns at most n bytes of a text, and whole characters.
func Shorten(n int, s any) string {
	text := fmt.Sprint(s)
	if b, is := s.(json.RawMessage); is {
		text = string(b)
	}
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// BareURL returns a request without https://, which people do not need.
func BareURL(s string) string {
	return strings.Replace(strings.Replace(s, "https://", "", 1), "http://", "", 1)
}

// Sentence returns an error message as a sentence.
func Sentence(s string) string {
	if s == "" {
		return ""
	}
	r, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// Label is a label of a run.
type Label struct{ Name, Value string }

// SortedLabels returns labels, ordered by name.
func SortedLabels(l map[string]string) []Label {
	var all []Label
	for _, name := range slices.Sorted(maps.Keys(l)) {
		all = append(all, Label{name, l[name]})
	}
	return all
}

// ParseTime reads a time, or a date, as people write it, in UTC.
func ParseTime(text string) (t time.Time, err error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err = time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	return t, err
}
