// Package value reads JSON from outside: the input of a run, the value of a promise, a message.
//
// It guarantees that every JSON decoder reads an accepted value in the same way, so the code gets what was accepted.
// encoding/json and serde disagree about other values: one takes the last of two members of the same name and the
// other fails, one replaces half of a surrogate pair and the other fails, and both fail for a number that their type
// cannot hold.
package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is the error for valid JSON that decoders read differently.
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

// maxNumber is the maximum length of a number in bytes. It is enough for every float64 and 128-bit integer, and keeps
// exponents short enough for exact arithmetic.
const maxNumber = 1024

// maxFloat is the largest float64, in the way of writing it that every decoder reads.
const maxFloat = "1.7976931348623157e308"

// reserved begins the names of members that serde_json takes for a number or JSON text of its own, if the guest is built
// with its features arbitrary_precision or raw_value.
const reserved = "$serde_json::private::"

// maxDepth is how deep arrays and objects may be nested. It is the limit of serde_json.
const maxDepth = 127

// Parse decodes a value as encoding/json does into an any, except that numbers become json.Number. It returns a *Fault
// unless the value is I-JSON (RFC 7493): UTF-8 without unpaired surrogates, no duplicate members, no number outside of
// the float64 range, and at most 127 levels of nesting. For invalid JSON it returns another error, with the offset.
func Parse(text []byte) (any, error) {
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		if at := new(json.SyntaxError); errors.As(err, &at) {
			return nil, fmt.Errorf("it is not valid JSON: %v at byte %d", at, at.Offset)
		}
		return nil, fmt.Errorf("it is not valid JSON: %v", err)
	}
	if !utf8.Valid(text) {
		return nil, &Fault{Message: "it is not UTF-8"}
	}
	if at := unpaired(text); at >= 0 {
		return nil, &Fault{Message: fmt.Sprintf("the escape %s at byte %d is half of a surrogate pair without the other half", text[at:at+6], at)}
	}
	p := parser{text: text, in: json.NewDecoder(bytes.NewReader(text))}
	p.in.UseNumber()
	return p.value()
}

type parser struct {
	text []byte
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
		start := p.in.InputOffset()
		token, err := p.in.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if bytes.IndexByte(p.text[start:p.in.InputOffset()], '\\') >= 0 && isPlain(name) {
			return nil, p.fault("member %.100q is written with an escape, which not every decoder reads in a number or boolean; write %[1]q without it", name)
		}
		if strings.HasPrefix(name, reserved) {
			return nil, p.fault("member %.100q has a name that serde_json reserves; give it another one", name)
		}
		if _, twice := out[name]; twice {
			return nil, p.fault("member %.100q appears twice", name)
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

// isPlain reports whether a name is a number or boolean. serde_json reads such a name as the key of a map without
// decoding its escapes.
func isPlain(name string) bool {
	return name == "true" || name == "false" || isNumber(name)
}

// isNumber reports whether a text is a number in JSON.
func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || '0' <= text[0] && text[0] <= '9') && text[len(text)-1] > ' ' && json.Valid([]byte(text))
}

func (p *parser) number(text string) error {
	if fault := unreadable(text); fault != "" {
		return p.fault("%s", fault)
	}
	return nil
}

// unreadable returns why some decoder cannot hold a number, "" if all can. Most clients use float64, as does all code
// that decodes into any.
func unreadable(text string) string {
	if len(text) > maxNumber {
		return fmt.Sprintf("the number has %d digits, at most %d are allowed; send a string", len(text), maxNumber)
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return fmt.Sprintf("the number %s is too large for a 64-bit floating-point number, whose limit is %s; send a string", shortened(text), maxFloat)
	case math.Abs(f) > 1.797e308 && math.IsInf(inSteps(text), 0):
		return fmt.Sprintf("the number %s is too close to the limit of a 64-bit floating-point number, and some decoders cannot read it; send a smaller number, the limit itself as %s, or a string", shortened(text), maxFloat)
	case f == 0 && strings.ContainsAny(mantissa(text), "123456789"):
		return fmt.Sprintf("the number %s is too close to zero for a 64-bit floating-point number; send 0 or a string", shortened(text))
	}
	return ""
}

// inSteps returns the absolute value of a number as serde_json computes it: the first digits, as many as a uint64 holds,
// times a power of ten. It rounds three times, strconv only once, so the result may be infinite where strconv's is not.
func inSteps(text string) float64 {
	var significand uint64
	var exponent int
	digits, power, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(text, "-")), "e")
	if power != "" {
		exponent, _ = strconv.Atoi(power)
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	fits := func(digit uint64) bool { return significand <= (math.MaxUint64-digit)/10 }
	for i := range len(whole) {
		digit := uint64(whole[i] - '0')
		if !fits(digit) {
			exponent += len(whole) - i
			break
		}
		significand = significand*10 + digit
	}
	for i := range len(fraction) {
		digit := uint64(fraction[i] - '0')
		if !fits(digit) {
			break
		}
		significand = significand*10 + digit
		exponent--
	}
	factor, err := strconv.ParseFloat("1e"+strconv.Itoa(exponent), 64)
	if err != nil {
		return math.Inf(1)
	}
	return float64(significand) * factor
}

// unpaired returns the offset of the first unpaired surrogate, or -1.
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

// unitAt returns the UTF-16 unit that is escaped at i, or -1.
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
