package redact

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Redaction redacts values in JSON, headers and URL queries. It may be used concurrently. The zero value redacts
// nothing.
type Redaction struct {
	paths   [][]segment
	headers []string
	query   []string // parameter names, also in escaped form
	mask    *Mask    // additional mask; may be nil
}

// segment is one step of a path: a member, an element, or all of them (any). If deep is set, the rest of the path may
// occur at any depth.
type segment struct {
	name  string
	index int // -1 if it is not an index
	any   bool
	deep  bool
}

// NewRedaction parses redaction rules: JSON paths such as `$.card.number`, `items[*].price`, `items[0]`, `*.token` and
// `..password` (at any depth), where the leading `$.` is optional; `header:Authorization` for a header in any case;
// and `query:token` for a URL parameter. Rules that begin with `mask:` or `salt:` come from [Mask.Rules].
func NewRedaction(what []string) (Redaction, error) {
	var r Redaction
	var err error
	if r.mask, err = maskOf(what); err != nil {
		return Redaction{}, err
	}
	for _, p := range what {
		if strings.HasPrefix(p, "mask:") || strings.HasPrefix(p, "salt:") {
			continue
		}
		header, isHeader := strings.CutPrefix(p, "header:")
		param, isParam := strings.CutPrefix(p, "query:")
		switch {
		case isHeader && header != "":
			r.headers = append(r.headers, header)
		case isParam && param != "":
			r.query = append(r.query, spellings(param)...)
		case isHeader || isParam:
			return Redaction{}, fmt.Errorf("cannot redact %q: the name is missing; use a form such as header:Authorization or query:token: %w", p, flawless.Invalid)
		default:
			s, err := parsePath(p)
			if err != nil {
				return Redaction{}, fmt.Errorf("cannot redact the path %q: %v; use a form such as $.card.number, items[*].price or ..password: %w", p, err, flawless.Invalid)
			}
			r.paths = append(r.paths, s)
		}
	}
	return r, nil
}

// Received is a rule that hides nothing. It records that something was hidden from what a run received.
const Received = "received"

// Own reports whether code that receives the redacted values still computes the original results: nothing was redacted
// by name, and nothing was hidden from what it received.
func Own(rules []string) bool {
	return !slices.ContainsFunc(rules, func(p string) bool {
		return p == "mask:"+Received || !strings.HasPrefix(p, "mask:") && !strings.HasPrefix(p, "salt:")
	})
}

// maskOf returns the mask among the rules, or nil.
func maskOf(what []string) (*Mask, error) {
	var salt []byte
	var rules []string
	for _, p := range what {
		if text, ok := strings.CutPrefix(p, "salt:"); ok && salt == nil {
			var err error
			if salt, err = hex.DecodeString(text); err != nil || len(salt) == 0 {
				return nil, fmt.Errorf("the salt %q of what was taken out is not hexadecimal: %w", p, flawless.Invalid)
			}
		}
		if rule, ok := strings.CutPrefix(p, "mask:"); ok {
			if rule != Received {
				rules = append(rules, rule)
			}
		}
	}
	if rules == nil {
		return nil, nil
	}
	return newMask(salt, rules)
}

// spellings returns how a URL may spell a parameter name.
func spellings(name string) []string {
	if meant, err := url.QueryUnescape(name); err == nil && meant != name {
		return []string{name, meant}
	}
	return []string{name}
}

// parameters replaces the values of URL parameters in queries and fragments. Names are compared decoded and
// case-insensitively. A value ends at the end of the string or URL, but not at a semicolon, which most servers treat
// as part of it. As a pattern: (?:[?&;#]|\\u0026)NAME=[^&\s"'#\\]*
func parameters(text string, names []string, instead func(value string) string) string {
	if len(names) == 0 {
		return text
	}
	var out strings.Builder
	done := 0
	for at := 0; ; {
		next := strings.IndexByte(text[at:], '=')
		if next < 0 {
			break
		}
		before := text[at : at+next] // a name does not contain another =
		at += next + 1
		if !namesParameter(before, names) {
			continue
		}
		value := text[at:]
		value = value[:end(value, "& \t\n\f\r\"'#\\")]
		out.WriteString(text[done:at] + instead(value))
		at += len(value)
		done = at
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// namesParameter reports whether text ends with one of the names, as a URL spells it.
func namesParameter(text string, names []string) bool {
	begin := strings.LastIndexAny(text, "?&;# \t\n\f\r\"'\\") + 1
	if begin == 0 {
		return false
	}
	name := text[begin:]
	switch text[begin-1] {
	case '?', '&', ';', '#':
	case '\\':
		var ok bool
		if name, ok = strings.CutPrefix(name, "u0026"); !ok {
			return false
		}
	default:
		return false
	}
	meant, err := url.QueryUnescape(name)
	if err != nil {
		meant = name
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) || strings.EqualFold(n, meant) })
}

func parsePath(p string) ([]segment, error) {
	var out []segment
	rest := strings.TrimPrefix(p, "$")
	if rest != "" && rest[0] != '.' && rest[0] != '[' {
		rest = "." + rest
	}
	for rest != "" {
		s := segment{index: -1}
		switch {
		case rest[0] == '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, fmt.Errorf("a bracket is not closed")
			}
			n, err := strconv.Atoi(inside)
			switch {
			case inside == "*":
				s.any = true
			case err == nil && n >= 0:
				s.index = n
			case len(inside) > 2 && (inside[0] == '\'' || inside[0] == '"') && inside[len(inside)-1] == inside[0]:
				s.name = inside[1 : len(inside)-1]
			default:
				return nil, fmt.Errorf("%q is neither a number nor *", inside)
			}
			rest = after
		default: // a dot
			rest = rest[1:]
			if strings.HasPrefix(rest, ".") {
				s.deep, rest = true, rest[1:]
			}
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if s.name, rest = rest[:end], rest[end:]; s.name == "" {
				return nil, fmt.Errorf("a name is missing")
			}
			if s.name == "*" {
				s.name, s.any = "", true
			}
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	return out, nil
}

// JSON redacts the values at the paths and the URL parameters: strings become "redacted", numbers 0, true becomes
// false; lists and objects keep their shape. Invalid JSON, and JSON without a match, is returned unchanged.
func (r Redaction) JSON(text []byte) []byte { return r.mask.Bytes(r.json(text)) }

func (r Redaction) json(text []byte) []byte {
	if len(r.query) > 0 && json.Valid(text) {
		text = []byte(r.Text(string(text)))
	}
	if len(r.paths) == 0 || len(text) == 0 {
		return text
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return text
	}
	changed := false
	for _, p := range r.paths {
		v = follow(v, p, &changed)
	}
	if !changed {
		return text
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return text
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// follow returns v with the values at the path redacted.
func follow(v any, path []segment, changed *bool) any {
	if len(path) == 0 {
		*changed = true
		return blank(v)
	}
	s := path[0]
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if s.deep {
				member = follow(member, path, changed)
				v[name] = member
			}
			if s.any || s.index < 0 && name == s.name {
				v[name] = follow(member, path[1:], changed)
			}
		}
	case []any:
		for i, member := range v {
			if s.deep {
				member = follow(member, path, changed)
				v[i] = member
			}
			if s.any || i == s.index {
				v[i] = follow(member, path[1:], changed)
			}
		}
	}
	return v
}

// blank returns a value of the same shape without information.
func blank(v any) any {
	switch v := v.(type) {
	case string:
		return "redacted"
	case json.Number:
		return json.Number("0")
	case bool:
		return false
	case map[string]any:
		for name := range v {
			v[name] = blank(v[name])
		}
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	}
	return v
}

// Text redacts URL parameters in text.
func (r Redaction) Text(text string) string {
	text = parameters(text, r.query, func(string) string { return "redacted" })
	return r.mask.Text(text)
}

// Head redacts headers and URL parameters in the head of a call or answer.
func (r Redaction) Head(head []byte) []byte { return r.mask.Bytes(r.head(head)) }

func (r Redaction) head(head []byte) []byte {
	if len(r.query) > 0 {
		head = []byte(r.Text(string(head)))
	}
	var h struct {
		Headers [][2]string `json:"headers"`
	}
	if len(r.headers) == 0 || json.Unmarshal(head, &h) != nil {
		return head
	}
	changed := false
	for i, pair := range h.Headers {
		if slices.ContainsFunc(r.headers, func(name string) bool { return strings.EqualFold(name, strings.TrimSpace(pair[0])) }) {
			h.Headers[i][1], changed = "redacted", true
		}
	}
	if !changed {
		return head
	}
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(head))
	d.UseNumber()
	if d.Decode(&all) != nil {
		return head
	}
	all["headers"] = h.Headers
	out, err := json.Marshal(all)
	if err != nil {
		return head
	}
	return out
}

// Call returns a redacted call.
func (r Redaction) Call(c flawless.Call) flawless.Call {
	c.Head, c.Body = r.Head(c.Head), r.JSON(c.Body)
	return c
}

// Ended returns a redacted end, nil for nil.
func (r Redaction) Ended(e *flawless.Ended) *flawless.Ended {
	if e == nil {
		return nil
	}
	return &flawless.Ended{Output: r.JSON(e.Output), Failure: r.Failure(e.Failure)}
}

// Failure returns a redacted failure, nil for nil.
func (r Redaction) Failure(f *flawless.Failure) *flawless.Failure {
	if f == nil {
		return nil
	}
	out := *f
	out.Message, out.Stack = r.Text(f.Message), r.Text(f.Stack)
	return &out
}

// Entry returns a redacted log entry.
func (r Redaction) Entry(e flawless.Entry) flawless.Entry {
	switch {
	case e.Start != nil:
		s := *e.Start
		s.Input = r.JSON(s.Input)
		e.Start = &s
	case e.Arrival != nil:
		a := *e.Arrival
		a.Head, a.Body, a.Note = r.Head(a.Head), r.JSON(a.Body), r.Text(a.Note)
		e.Arrival = &a
	case e.Attempt != nil:
		a := *e.Attempt
		a.Result = r.Text(a.Result)
		e.Attempt = &a
	case e.Unknown != nil:
		u := *e.Unknown
		u.Reason = r.Text(u.Reason)
		e.Unknown = &u
	case e.Message != nil:
		m := *e.Message
		m.Body = r.JSON(m.Body)
		e.Message = &m
	case e.End != nil:
		end := *e.End
		end.Failure = *r.Failure(&end.Failure)
		e.End = &end
	case e.Decision != nil:
		d := *e.Decision
		d.Body, d.Text, d.Note = r.JSON(d.Body), r.Text(d.Text), r.Text(d.Note)
		e.Decision = &d
	case e.Turn != nil:
		e.Turn = r.turn(*e.Turn)
	}
	return e
}

func (r Redaction) turn(t flawless.Turn) *flawless.Turn {
	calls := make([]flawless.Call, len(t.Calls))
	for i, c := range t.Calls {
		calls[i] = r.Call(c)
	}
	lines := make([]flawless.Line, len(t.Lines))
	for i, l := range t.Lines {
		l.Text, l.Fields = r.Text(l.Text), r.JSON(l.Fields)
		lines[i] = l
	}
	steps := slices.Clone(t.Steps)
	for i := range steps {
		steps[i].Name = r.Text(steps[i].Name)
	}
	t.Calls, t.Lines, t.Data, t.Steps = calls, lines, r.JSON(t.Data), steps
	t.Ended = r.Ended(t.Ended)
	return &t
}
