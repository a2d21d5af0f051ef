package value

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"
)

// Rules configures a compiler so that its schemas are as strict as the code that decodes the values. JSON Schema alone
// accepts 1.0 as an integer, treats a format as an annotation, and allows any name for an undescribed member.
//
// With these rules, formats and string contents are checked, an integer has no fraction or exponent, and a member must
// not differ from a described one only in case, because encoding/json would decode it as that member.
func Rules(c *jsonschema.Compiler) {
	c.AssertFormat()
	c.AssertContent()
	c.RegisterContentMediaType(&jsonschema.MediaType{Name: "application/json", Validate: check, UnmarshalJSON: Parse})
	for _, f := range formats {
		c.RegisterFormat(f)
	}
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: "urn:exact", Compile: compileExact})
	c.AssertVocabs()
}

func check(text []byte) error {
	_, err := Parse(text)
	return err
}

// formats are the formats that Go and schemars use and that the library lacks or defines differently. Rust's isize and
// usize have 32 bits, because guests are compiled for wasm32.
var formats = []*jsonschema.Format{
	{Name: "int8", Validate: integer(8, true)},
	{Name: "int16", Validate: integer(16, true)},
	{Name: "int32", Validate: integer(32, true)},
	{Name: "int64", Validate: integer(64, true)},
	{Name: "int128", Validate: integer(128, true)},
	{Name: "int", Validate: integer(32, true)},
	{Name: "uint8", Validate: integer(8, false)},
	{Name: "uint16", Validate: integer(16, false)},
	{Name: "uint32", Validate: integer(32, false)},
	{Name: "uint64", Validate: integer(64, false)},
	{Name: "uint128", Validate: integer(128, false)},
	{Name: "uint", Validate: integer(32, false)},
	{Name: "float", Validate: float(32, math.MaxFloat32)},
	{Name: "double", Validate: float(64, math.MaxFloat64)},
	{Name: "date-time", Validate: dateTime},
	{Name: "ip", Validate: ipAddress(any32or128)},
	{Name: "ipv4", Validate: ipAddress(netip.Addr.Is4)},
	{Name: "ipv6", Validate: ipAddress(netip.Addr.Is6)},
	{Name: "socket-address", Validate: socketAddress(any32or128)},
	{Name: "socket-address-v4", Validate: socketAddress(netip.Addr.Is4)},
	{Name: "socket-address-v6", Validate: socketAddress(netip.Addr.Is6)},
}

func any32or128(netip.Addr) bool { return true }

// ipAddress returns a check for an IP address without a zone.
func ipAddress(fits func(netip.Addr) bool) func(any) error {
	return func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		if a, err := netip.ParseAddr(text); err != nil || a.Zone() != "" || !fits(a) {
			return errors.New("give an IP address")
		}
		return nil
	}
}

// socketAddress returns a check for an IP address and port. A zone must be a number.
func socketAddress(fits func(netip.Addr) bool) func(any) error {
	return func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		a, err := netip.ParseAddrPort(text)
		if err == nil && a.Addr().Zone() != "" {
			_, err = strconv.ParseUint(a.Addr().Zone(), 10, 32)
		}
		if err != nil || !fits(a.Addr()) {
			return errors.New("give an IP address and a port, such as 127.0.0.1:80 or [::1]:80")
		}
		return nil
	}
}

// integer returns a check for an integer of the given size. The integer may also be a string, for member names.
func integer(bits uint, signed bool) func(any) error {
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), bits)
	if signed {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	high.Sub(high, big.NewInt(1))
	return func(v any) error {
		text, ok := v.(string)
		if n, is := v.(json.Number); is {
			text, ok = string(n), true
		}
		if !ok {
			return nil
		}
		n, whole := new(big.Int).SetString(text, 10)
		if !whole || n.Cmp(low) < 0 || n.Cmp(high) > 0 {
			return fmt.Errorf("give an integer from %v to %v", low, high)
		}
		return nil
	}
}

// float returns a check for a floating-point number of the given size. The number may also be a string, for member names.
func float(bits int, most float64) func(any) error {
	return func(v any) error {
		n, ok := v.(json.Number)
		if text, is := v.(string); is {
			n, ok = json.Number(text), true
			if !isNumber(text) || unreadable(text) != "" {
				return fmt.Errorf("give a number from %g to %g", -most, most)
			}
		}
		if !ok {
			return nil
		}
		if _, err := strconv.ParseFloat(string(n), bits); err != nil {
			return fmt.Errorf("give a number from %g to %g", -most, most)
		}
		return nil
	}
}

// dateTime accepts what time.Time decodes, which excludes the leap seconds of RFC 3339.
func dateTime(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	if err := new(time.Time).UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("give a time such as 2026-01-31T13:45:00Z")
	}
	return nil
}

// exact checks how a value is written, beyond what it means.
type exact struct {
	digits bool              // integers must be written without fraction or exponent
	folded map[string]string // described members by their case-folded name; nil allows all others
	known  map[string]any    // described members

	// names is the schema of the names of members, nil for none. The library checks it too, but keeps the location of the
	// value in memory that it uses again, so its error may name another member: see collect.
	names *jsonschema.Schema
}

func compileExact(ctx *jsonschema.CompilerContext, schema map[string]any) (jsonschema.SchemaExt, error) {
	e := exact{digits: names(schema["type"], "integer") && !names(schema["type"], "number")}
	e.known, _ = schema["properties"].(map[string]any)
	// With a schema for additional members, the names are the sender's data and mean what they say.
	if _, typed := schema["additionalProperties"].(map[string]any); !typed && schema["patternProperties"] == nil && len(e.known) > 0 {
		e.folded = make(map[string]string, len(e.known))
		for name := range e.known {
			e.folded[fold(name)] = name
		}
	}
	if schema["propertyNames"] != nil {
		e.names = ctx.Enqueue([]string{"propertyNames"})
	}
	if !e.digits && e.folded == nil && e.names == nil {
		return nil, nil
	}
	return e, nil
}

// names reports whether the keyword type contains the given type.
func names(keyword any, name string) bool {
	if list, ok := keyword.([]any); ok {
		for _, t := range list {
			if t == name {
				return true
			}
		}
		return false
	}
	return keyword == name
}

func (e exact) Validate(ctx *jsonschema.ValidatorContext, v any) {
	switch v := v.(type) {
	case json.Number:
		if e.digits && (v == "-0" || strings.ContainsAny(string(v), ".eE")) {
			ctx.AddError(inexact(fmt.Sprintf("%s is not written as an integer; use digits only, without fraction or exponent, and not -0", shortened(string(v)))))
		}
	case map[string]any:
		for name := range v {
			if e.names != nil {
				e.checkName(ctx, name)
			}
			if _, ok := e.known[name]; ok {
				continue
			}
			if meant, ok := e.folded[fold(name)]; ok {
				ctx.AddError(inexact(fmt.Sprintf("member %q differs from %q only in case; write %[2]q", name, meant)))
			}
		}
	}
}

// checkName reports the name of a member that its schema does not allow.
func (e exact) checkName(ctx *jsonschema.ValidatorContext, name string) {
	err := e.names.Validate(name)
	if bad := new(jsonschema.ValidationError); errors.As(err, &bad) && len(bad.Causes) > 0 {
		ctx.AddError(inexact(fmt.Sprintf("the name of member %.100q: %s", name, reason(bad.Causes[0].ErrorKind))))
	}
}

// fold returns a name in the canonical case that encoding/json compares: each rune becomes the smallest one that it
// folds to.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

// inexact is the reason for a refusal, in the form that the library expects.
type inexact string

// KeywordPath returns nil, because no schema keyword is involved.
func (inexact) KeywordPath() []string { return nil }

// LocalizedString returns the reason.
func (i inexact) LocalizedString(*message.Printer) string { return string(i) }
