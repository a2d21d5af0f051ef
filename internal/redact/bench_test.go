package redact

import (
	"fmt"
	"strings"
	"testing"
)

// largeTexts returns texts of a given size, of the kinds that runs send and receive.
func largeTexts(size int) map[string]string {
	fill := func(piece func(n int) string) string {
		var b strings.Builder
		for n := 0; b.Len() < size; n++ {
			b.WriteString(piece(n))
		}
		return b.String()
	}
	json := func(n int) string {
		return fmt.Sprintf(`{"id":%d,"name":"Ann Example","mail":"ann%d@example.com","url":"https://shop.example/items/%d?ref=a&x=1","tags":["a","b","c"],"price":12.50,"note":"sent to https://a.example/x, then kept"},`, n, n, n)
	}
	return map[string]string{
		"JSON":          fill(json),
		"JSON in JSON":  fill(func(n int) string { return fmt.Sprintf("%q,", json(n)) }),
		"words":         fill(func(n int) string { return fmt.Sprintf("Some words of a text, in line %d: nothing to hide.\n", n) }),
		"words, mail":   fill(func(n int) string { return fmt.Sprintf("Some words of a text for ann%d@example.com.\n", n) }),
		"one long word": strings.Repeat("x", size),
		"base64":        fill(func(n int) string { return "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0123/+" }),
		"numbers":       fill(func(n int) string { return fmt.Sprintf("[%d,%d],", n, n*n) }),
		"credentials": fill(func(n int) string {
			return fmt.Sprintf(`"https://ann:secret%d@host.example/x",["Authorization","Bearer %d"],`, n, n)
		}),
		// Texts that are meant to be slow.
		"slashes":           strings.Repeat("/", size-1) + "@",
		"encoded slashes":   strings.Repeat("%2F%2Fa", size/7) + "@",
		"open strings":      strings.Repeat(`["`, 1) + strings.Repeat(`[\"x`, size/4),
		"deep quotes":       deepQuotes(size),
		"colons":            strings.Repeat("a:", size/2) + "@",
		"odd ports":         strings.Repeat("//a:b", size/5) + "@",
		"open URL members":  strings.Repeat(`"url":\"`, size/8) + "@",
		"backslashes":       "[" + strings.Repeat(`\`, size),
		"marks":             strings.Repeat("@", size),
		"invalid ports":     strings.Repeat(`invalid port ":x`, size/16),
		"one word of pairs": strings.Repeat("a:b@c,", size/6),
	}
}

// deepQuotes opens strings at many depths and closes none.
func deepQuotes(size int) string {
	var b strings.Builder
	for depth := 1; b.Len() < size/4 && depth < 2000; depth++ {
		b.WriteString("[" + strings.Repeat(`\`, depth) + `"`)
	}
	return b.String() + strings.Repeat("x", size-b.Len())
}

func BenchmarkMask(b *testing.B) {
	m, err := NewMask([]byte("key"), "query:token", "header:X-Api-Key")
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range largeTexts(1 << 20) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				m.Bytes([]byte(text))
			}
		})
	}
}
