package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Size formats a number of bytes.
func Size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// Shorten returns s in one line of at most n bytes, with an ellipsis if something is left out.
func Shorten(s string, n int) string {
	if s = strings.ToValidUTF8(oneLine(s), "\uFFFD"); len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…" // drop half a character
	}
	return s
}

// oneLine replaces newlines by spaces.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// Count formats a number of things, such as "2 messages".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// list formats numbers, separated by commas.
func list(ns []int) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(ns), " ", ", "), "[]") }

// noted formats a note in parentheses. It is empty if there is none.
func noted(s string) string {
	if s == "" {
		return ""
	}
	return " (" + oneLine(s) + ")"
}

// Labels formats labels in one line, sorted by name.
func Labels(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, ", ")
}
