package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStringsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", "a\"b\\c/d", "\n\r\t\b\f\x00\x1f\x7f", "Ä€😀\u2028", "<&>"} {
		text := AppendString(nil, s)
		var std string
		if err := json.Unmarshal(text, &std); err != nil || std != s {
			t.Errorf("encoding/json reads %s as %q, %v; want %q", text, std, err, s)
		}
		r := reader{b: string(text)}
		if got := r.string(); got != s || r.end() != nil {
			t.Errorf("%s is read as %q, %v; want %q", text, got, r.err, s)
		}
	}
}

// TestWordScansSeeEveryByte tries each byte at each position of texts up to a little more than two words.
func TestWordScansSeeEveryByte(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 18; n++ {
		for at := range n {
			for c := range 256 {
				b := []byte(strings.Repeat("#", n)) // the byte behind a quotation mark
				b[at] = byte(c)
				if want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'; isPlain(string(b)) != want {
					t.Fatalf("isPlain(%q) is %v", b, !want)
				}
				if n < 8 {
					continue
				}
				for from := range n {
					want := strings.IndexAny(string(b[from:]), "\"\\") + from
					if want < from || b[want] == '\\' {
						want = -1
					}
					if got := quoteAt(string(b), from); got != want {
						t.Fatalf("the first quotation mark of %q from %d on is at %d, not %d", b, from, got, want)
					}
				}
			}
		}
	}
	if !isPlain("") {
		t.Error("the empty string is not plain")
	}
}

func TestParseHead(t *testing.T) {
	t.Parallel()
	var h Head
	err := parseHead(` {"new":[{"x":[1,-2.5e+3,true,null]},{}],"status":200, "headers":[["A-b","1"],["a-B","\u00e4\ud83d\ude00"]],
		"url":"https:\/\/x","by":null,"run":"r","module":"m","workflow":"w","note":"n",
		"error":{"kind":"k","reason":"r","message":"m","status":503,"key":"r-2","repeat_until":1767225600000000001,"more":{}}} `, &h)
	if err != nil {
		t.Fatal(err)
	}
	if h.Status != 200 || h.URL != "https://x" || h.Run != "r" || h.Module != "m" || h.Workflow != "w" || h.Note != "n" {
		t.Errorf("read %+v", h)
	}
	if want := [][2]string{{"A-b", "1"}, {"a-B", "ä😀"}}; !reflect.DeepEqual(h.Header, want) {
		t.Errorf("header is %q, want %q", h.Header, want)
	}
	if want := (Failure{Kind: "k", Reason: "r", Message: "m", Key: "r-2", Status: 503, RepeatUntil: 1767225600000000001}); h.Failure == nil || *h.Failure != want {
		t.Errorf("error is %+v, want %+v", h.Failure, want)
	}
}

func TestBrokenHeadsAreRejected(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", "}", "[]", "null", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":tru}`,
		`{"a":"\x"}`, `{"a":"\u12"}`, "{\"a\":\"\n\"}", `{"a":"`, `{} {}`, "{}\x00", `{"status":"200"}`, `{"status":1.5}`,
		`{"headers":[["a"]]}`, `{"headers":[["a","b","c"]]}`, `{"headers":[[]]}`, `{"headers":["a"]}`, `{"headers":{}}`,
		`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
	} {
		if err := parseHead(text, new(Head)); err == nil {
			t.Errorf("parseHead(%.50q) accepts it", text)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(`{"status":200,"headers":[["A","b"],["c","\u00e4\ud800"]],"url":"x","error":{"kind":"k"}}`)
	f.Add(`{"run":"r","a":[{"b":[1.5e3,true,false,null]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var h Head
		err := parseHead(text, &h)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("parseHead accepts what is not JSON: %q", text)
		}
		var std struct {
			Note *string `json:"note"`
		}
		if json.Unmarshal([]byte(text), &std) == nil && std.Note != nil && strings.Count(strings.ToLower(text), "note") == 1 && *std.Note != h.Note {
			t.Errorf("note of %q is %q, encoding/json reads %q", text, h.Note, *std.Note)
		}
	})
}

// TestParsePlainAgreesWithParseHead checks that the fast path reads the same as the slow one, and declines other
// texts.
func TestParsePlainAgreesWithParseHead(t *testing.T) {
	t.Parallel()
	for text, short := range map[string]bool{
		`{"status":200,"headers":[["Date","now, \"then\""],["A","b"]],"url":"http://a/b"}`: false,
		`{"status":200,"headers":[["Date","now"],["A",""]],"url":"http://a/b"}`:            true,
		`{"status":204,"headers":[["A","[x],[\u00e4]"]],"url":"u"}`:                        false,
		`{"status":204,"headers":[["A","[x],[ä],],"]],"url":"u"}`:                          true,
		`{"status":500,"headers":[],"url":""}`:                                             true,
		`{"status":500,"headers":null,"url":""}`:                                           false,
		`{"status":500,"headers":[["A","b"],["C","d"]]}`:                                   true,
		`{"status":500,"url":"u"}`:                                                         true,
		`{"status":500000,"headers":[],"url":"u"}`:                                         false,
		`{"status":500,"headers":[["A","b"]],"url":"u","error":{"kind":"k"}}`:              false,
		`{"status":500,"headers":[["A" ,"b"]],"url":"u"}`:                                  false,
		`{"status":200,"headers":[["A","b"],`:                                              false,
		`{"status":200,"headers":[["A","b"]`:                                               false,
		`{"status":200,"headers":[`:                                                        false,
		`{"status":`:                                                                       false,
		`{}`:                                                                               false,
		`{"status":200,"headers":[["A","b"]["C","d"]],"url":"u"}`:                          false,
		`{"status":200,"headers":[["A","b"],"C","d"]],"url":"u"}`:                          false,
		`{"status":200,"headers":[["A","b"],["C"]],"url":"u"}`:                             false,
		`{"status":200,"headers":[["A","b"]],"url":"u"},"`:                                 false,
		`{"status":200,"headers":[["A","b"]],"url":"u""}`:                                  false,
		`{"status":200,"headers":[["A","b"]],"url":"}`:                                     false,
		`{"status":200,"headers":[` + strings.Repeat(`["A","b"],`, 20) + `["A","b"]]}`:     true,
		`{"status":200,"headers":[` + strings.Repeat(`["A","b"],`, 40) + `["A","b"]]}`:     true,
		`{"status":200,"headers":[["A","` + strings.Repeat("b", 1<<16) + `"]]}`:            true,
	} {
		var h, want Head
		ok := parsePlain(text, &h)
		if ok != short {
			t.Errorf("parsePlain(%.200q) returned %v", text, ok)
		}
		if err := parseHead(text, &want); ok && (err != nil || !reflect.DeepEqual(h, want)) {
			t.Errorf("parsePlain(%.200q) is %+v, parseHead says %+v, %v", text, h, want, err)
		}
	}
}

func FuzzParsePlain(f *testing.F) {
	f.Add(`{"status":200,"headers":[["Date","now"],["A","b"]],"url":"http://a/b"}`)
	f.Add(`{"status":200,"headers":[],"url":""}`)
	f.Add(`{"run":"r","module":"m","workflow":"w","secrets":"s","url":"u"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var h, want Head
		ok := parsePlain(text, &h)
		if !ok || !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			return
		}
		if err := parseHead(text, &want); err != nil || !reflect.DeepEqual(h, want) {
			t.Errorf("parsePlain(%.200q) is %+v, parseHead says %+v, %v", text, h, want, err)
		}
	})
}

func FuzzSkipReadsAllJSON(f *testing.F) {
	f.Add(`[1,"a",{"b":null}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") >= maxNesting {
			return
		}
		r := reader{b: text}
		r.skip()
		if valid := json.Valid([]byte(text)); (r.end() == nil) != valid {
			t.Errorf("reading %q: %v; encoding/json says valid: %v", text, r.err, valid)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\xff€\x00")
	f.Fuzz(func(t *testing.T, s string) {
		var std string
		if err := json.Unmarshal(AppendString(nil, s), &std); err != nil {
			t.Fatalf("%q is written as %s: %v", s, AppendString(nil, s), err)
		}
		if want := string([]rune(s)); std != want {
			t.Errorf("%q is read back as %q, want %q", s, std, want)
		}
	})
}
