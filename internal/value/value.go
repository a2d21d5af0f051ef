// Package value reads the JSON that comes from outside: the input of a run, the value of a promise, a message.
//
// It guarantees that every JSON decoder understands a value it accepts in the same way, so that what was accepted
// is also what the code gets. encoding/json and serde disagree about the rest: one overwrites a member that comes
// twice and the other fails, one replaces half a surrogate pair and the other fails, and both fail on a number
// that their type cannot hold.
package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is the error for JSON that decoders disagree about.
type Fault struct {
	Field   string // such as items.0.price, "" is the whole
	Message string
}

func (f *Fault) Error() string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + ": " + f.Message
}

// maxNumber is the length of a number in bytes. Every float64 and every integer of 128 bits fits; it also keeps
// exponents short enough for exact arithmetic.
const maxNumber = 1024

// maxDepth is how many arrays and objects may lie in one another. serde_json reads no more.
const maxDepth = 127

// Parse reads a value as encoding/json does into an any, but for numbers, which are json.Number. The value has to
// be I-JSON (RFC 7493), or the error is a *Fault: UTF-8 without unpaired surrogates, no member twice in an object,
// no number outside of the range of a float64, and no more than 127 arrays and objects in one another. JSON that is not JSON is another error, with the place in the text.
func Parse(text []byte) (any, error) {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		if at := new(json.SyntaxError); errors.As(err, &at) {
			return nil, fmt.Errorf("it is not JSON: %v at byte %d", at, at.Offset)
		}
		return nil, fmt.Errorf("it is not JSON: %v", err)
	}
	if !utf8.Valid(text) {
		return nil, &Fault{Message: "it is not UTF-8"}
	}
	if at := unpaired(text); at >= 0 {
		return nil, &Fault{Message: fmt.Sprintf("at byte %d there is half of a surrogate pair (%s), which is no character", at, text[at:at+6])}
	}
	p := parser{in: json.NewDecoder(bytes.NewReader(text))}
	p.in.UseNumber()
	return p.value()
}

type parser struct {
	in   *json.Decoder
	path []string
}

func (p *parser) fault(format string, args ...any) error {
	return &Fault{Field: strings.Join(p.path, "."), Message: fmt.Sprintf(format, args...)}
}

func (p *parser) value() (any, error) {
	token, err := p.in.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return t, p.number(string(t))
	case json.Delim:
		if len(p.path) == maxDepth {
			return nil, &Fault{Message: fmt.Sprintf("it is nested more than %d levels deep", maxDepth)}
		}
		if t == '{' {
			return p.object()
		}
		return p.array()
	}
	return token, nil
}

func (p *parser) object() (any, error) {
	out := map[string]any{}
	for p.in.More() {
		token, err := p.in.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := out[name]; twice {
			return nil, p.fault("member %.100q comes twice", name)
		}
		p.path = append(p.path, name)
		if out[name], err = p.value(); err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
	}
	_, err := p.in.Token()
	return out, err
}

func (p *parser) array() (any, error) {
	out := []any{}
	for p.in.More() {
		p.path = append(p.path, strconv.Itoa(len(out)))
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		p.path = p.path[:len(p.path)-1]
	}
	_, err := p.in.Token()
	return out, err
}

// number refuses what a float64 cannot hold. Code that reads any JSON, and most clients, keep numbers as one.
func (p *parser) number(text string) error {
	if len(text) > maxNumber {
		return p.fault("the number has %d digits, at most %d are allowed; send a string", len(text), maxNumber)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return p.fault("the number %s is too large for a 64-bit floating-point number; send a string", shortened(text))
	}
	if mantissa, _, _ := strings.Cut(strings.ToLower(text), "e"); f == 0 && strings.ContainsAny(mantissa, "123456789") {
		return p.fault("the number %s is too close to zero for a 64-bit floating-point number; send 0 or a string", shortened(text))
	}
	return nil
}

// unpaired returns where in JSON the first half of a surrogate pair stands alone, -1 where none does.
func unpaired(text []byte) int {
	for i := 0; ; {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next
		switch unit := unitAt(text, i); {
		case unit < 0:
			i += 2
		case unit < 0xd800 || unit > 0xdfff:
			i += 6
		case unit >= 0xdc00:
			return i
		default:
			if low := unitAt(text, i+6); low < 0xdc00 || low > 0xdfff {
				return i
			}
			i += 12
		}
	}
}

// unitAt returns the unit of UTF-16 that is escaped at i, -1 where none is.
func unitAt(text []byte, i int) int {
	if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(unit)
}
