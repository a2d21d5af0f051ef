package redact

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// drawn returns a random text of pieces that matter to a mask.
func drawn(rnd *rand.Rand) string {
	pieces := []string{"/", `\`, `\\`, ":", "%", "25", "2F", "2f", "%2F", "%252f", "%40", "@", "a", "=", "?", "&", `\u0026`, "token", "TOKEN", "to%6Ben", "to%26n", ";", " ", "\t", `"`, "#", "'", "é"}
	var b strings.Builder
	for range rnd.IntN(30) {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	return b.String()
}

// TestScannersMatchThePatterns compares the hand-written scanners with regular expressions, which process only 5 MB/s.
func TestScannersMatchThePatterns(t *testing.T) {
	t.Parallel()
	before := regexp.MustCompile(`/\\*/[/\\]*|:(?:\\\\)+|%(?:25)*2[fF]%(?:25)*2[fF](?:%(?:25)*2[fF])*`)
	param := regexp.MustCompile(`((?:[?&;#]|\\u0026)(?i:token|to%6ben|to%26n)=)[^&\s"'#\\]*`)
	rnd := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 50_000 {
		text := drawn(rnd)
		from := 0
		for _, want := range before.FindAllStringIndex(text, -1) {
			begin, end := introducer(text, from)
			if begin != want[0] || end != want[1] {
				t.Fatalf("%q has an introducer from %d to %d, want %v", text, begin, end, want)
			}
			from = end
			found++
		}
		if begin, _ := introducer(text, from); begin >= 0 {
			t.Fatalf("%q has another introducer at %d", text, begin)
		}
		want := param.ReplaceAllString(text, "${1}X")
		if got := parameters(text, []string{"token", "to&n"}, func(string) string { return "X" }); got != want {
			t.Fatalf("the parameters of %q become %q, want %q", text, got, want)
		}
		if want != text {
			found++
		}
	}
	if found < 5_000 {
		t.Errorf("only %d were found: this shows too little", found)
	}
}

// TestHeaderNameScanIsBounded checks that the search for a header name is bounded, however many strings are open.
func TestHeaderNameScanIsBounded(t *testing.T) {
	t.Parallel()
	m, err := NewMask([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	for depth := range 200 {
		open := strings.Repeat(`\`, depth) + `"` + strings.Repeat("x", 1<<10)
		if n := m.nameEnd(open); n > 200*(depth+6) {
			t.Errorf("at depth %d a name may have %d bytes", depth, n)
		}
	}
	spaced := `["` + strings.Repeat(`\u0020`, 50) + `Authorization","secret"]`
	if got := m.Text(spaced); strings.Contains(got, "secret") {
		t.Errorf("a name with space around it: %s", got)
	}
}
