package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Redaction takes values out of JSON. It may be used concurrently; the zero value takes out nothing.
type Redaction struct{ paths [][]segment }

// segment is one step of a path: a member, an element, all of them (any), or, with deep set, what
// follows at any depth.
type segment struct {
	name  string
	index int // -1 where it is none
	any   bool
	deep  bool
}

// NewRedaction understands paths: `$.card.number`, `items[*].price`, `items[0]`, `*.token`,
// `..password` (at any depth). The leading `$.` may be missing.
func NewRedaction(paths []string) (Redaction, error) {
	var r Redaction
	for _, p := range paths {
		s, err := parsePath(p)
		if err != nil {
			return Redaction{}, fmt.Errorf("the path %q to redact: %v; write it like $.card.number, items[*].price or ..password: %w", p, err, flawless.Invalid)
		}
		r.paths = append(r.paths, s)
	}
	return r, nil
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

// JSON returns text with the values taken out; strings become "redacted", numbers 0, true becomes
// false; lists and objects keep their shape. What is not JSON, and what no path leads into, is
// returned as it is.
func (r Redaction) JSON(text []byte) []byte {
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

// follow returns v with what the path leads to blanked.
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

// blank returns a value of the same shape that tells nothing.
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

// Redact returns the bundle with the values that the paths lead to taken out of every input, output,
// body, datum and field of a line. The image goes, too: it has them in it.
func Redact(b Bundle, paths []string) (Bundle, error) {
	r, err := NewRedaction(paths)
	if err != nil || len(paths) == 0 {
		return b, err
	}
	b.Manifest.Redacted, b.Image = paths, nil
	b.Manifest.Run.Output = r.JSON(b.Manifest.Run.Output)
	log := make([]flawless.Record, len(b.Log))
	for i, rec := range b.Log {
		entries := make([]flawless.Entry, len(rec.Entries))
		for k, e := range rec.Entries {
			entries[k] = r.entry(e)
		}
		log[i] = flawless.Record{Seq: rec.Seq, Epoch: rec.Epoch, Entries: entries}
	}
	b.Log = log
	return b, nil
}

func (r Redaction) entry(e flawless.Entry) flawless.Entry {
	switch {
	case e.Start != nil:
		s := *e.Start
		s.Input = r.JSON(s.Input)
		e.Start = &s
	case e.Arrival != nil:
		a := *e.Arrival
		a.Body = r.JSON(a.Body)
		e.Arrival = &a
	case e.Decision != nil:
		d := *e.Decision
		d.Body = r.JSON(d.Body)
		e.Decision = &d
	case e.Turn != nil:
		e.Turn = r.turn(*e.Turn)
	}
	return e
}

func (r Redaction) turn(t flawless.Turn) *flawless.Turn {
	calls := make([]flawless.Call, len(t.Calls))
	for i, c := range t.Calls {
		c.Body = r.JSON(c.Body)
		calls[i] = c
	}
	lines := make([]flawless.Line, len(t.Lines))
	for i, l := range t.Lines {
		l.Fields = r.JSON(l.Fields)
		lines[i] = l
	}
	t.Calls, t.Lines, t.Data = calls, lines, r.JSON(t.Data)
	if t.Ended != nil && len(t.Ended.Output) > 0 {
		t.Ended = &flawless.Ended{Output: r.JSON(t.Ended.Output)}
	}
	return &t
}
