package form

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// WholeName is the control for the whole value as JSON, which takes precedence over all fields, after the name of the form.
const WholeName = ".json"

// Read returns the value that was filled in, as JSON; nil if nothing was. It keeps what was filled in in the fields. If
// something cannot be read, it says so in the Problem of its field and returns false.
func (f *Field) Read(values url.Values) (json.RawMessage, bool) {
	whole := strings.TrimSpace(values.Get(f.Name + WholeName))
	ok := true
	v := f.read(values, &ok)
	if whole == "" {
		return v, ok
	}
	if !json.Valid([]byte(whole)) {
		f.Problem = syntax([]byte(whole))
		return nil, false
	}
	return json.RawMessage(whole), true
}

// read returns the value of a field, or nil if it has none.
func (f *Field) read(values url.Values, ok *bool) json.RawMessage {
	f.Value, f.Problem = values.Get(f.Name), ""
	given := strings.TrimSpace(f.Value)
	wrong := func(why string) json.RawMessage {
		f.Problem, *ok = why, false
		return nil
	}
	if f.Kind != Group && f.Kind != Flag && given == "" {
		return f.nothing()
	}
	switch f.Kind {
	case Group:
		return f.object(values, ok)
	case Flag:
		switch {
		case given == "true":
			return json.RawMessage("true")
		case given == "false" || f.Required && !f.Null:
			return json.RawMessage("false")
		}
		return f.nothing()
	case Text:
		return quoted(strings.ReplaceAll(f.Value, "\r\n", "\n"))
	case Number:
		if !numeric.MatchString(given) {
			return wrong("is not a number")
		}
		return json.RawMessage(given)
	case Choice:
		if !slices.ContainsFunc(f.Choices, func(o Option) bool { return o.Value == given }) {
			return wrong("is none of the choices")
		}
		return json.RawMessage(given)
	case List:
		var out bytes.Buffer
		for line := range strings.Lines(f.Value) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			v := f.Item.line(line)
			if v == nil {
				return wrong("has the line " + string(quoted(line)) + ", which is not a " + string(f.Item.Kind))
			}
			if out.Len() > 0 {
				out.WriteByte(',')
			}
			out.Write(v)
		}
		return json.RawMessage("[" + out.String() + "]")
	}
	if !json.Valid([]byte(given)) {
		return wrong(syntax([]byte(given)))
	}
	return json.RawMessage(given)
}

// nothing returns the value of a field that is empty.
func (f *Field) nothing() json.RawMessage {
	switch {
	case !f.Required:
		return nil
	case f.Null:
		return json.RawMessage("null")
	case f.Kind == Text && f.Path != "":
		return json.RawMessage(`""`)
	case f.Kind == List:
		return json.RawMessage("[]")
	}
	return nil // which the engine refuses with a better reason
}

// object returns the object of a group. An optional group of which nothing is filled in is none.
func (f *Field) object(values url.Values, ok *bool) json.RawMessage {
	out, filled := bytes.NewBufferString("{"), false
	for _, m := range f.Fields {
		v := m.read(values, ok)
		if v == nil {
			continue
		}
		filled = filled || strings.TrimSpace(m.Value) != "" || m.Kind == Group && !m.Required
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(quoted(m.Name[len(f.Name)+1:]))
		out.WriteByte(':')
		out.Write(v)
	}
	if !filled && !f.Required {
		return nil
	}
	return append(out.Bytes(), '}')
}

// line returns the value of one line of a list, or nil if it is none.
func (f *Field) line(text string) json.RawMessage {
	switch f.Kind {
	case Number:
		if !numeric.MatchString(text) {
			return nil
		}
		return json.RawMessage(text)
	case Flag:
		if text != "true" && text != "false" {
			return nil
		}
		return json.RawMessage(text)
	case Choice:
		for _, o := range f.Choices {
			if o.Title == text || o.Value == text {
				return json.RawMessage(o.Value)
			}
		}
		return nil
	}
	return quoted(text)
}

// numeric matches the numbers of JSON. They stay text, so none loses digits.
var numeric = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// Blame puts a problem that the API has found next to the field that it concerns: the one with the path, or the nearest around
// it. It returns false if that is the whole form.
func (f *Field) Blame(path, message string) bool {
	to, in := f, path
	for down := true; down; {
		down = false
		for _, m := range to.Fields {
			if m.Path == path || strings.HasPrefix(path, m.Path+".") {
				to, in, down = m, strings.TrimPrefix(strings.TrimPrefix(path, m.Path), "."), true
				break
			}
		}
	}
	if in != "" && to != f {
		message = in + ": " + message
	}
	if to == f && len(f.Fields) > 0 {
		return false
	}
	if to.Problem != "" {
		message = to.Problem + "; " + message
	}
	to.Problem = message
	return true
}

// syntax says where a text is no JSON.
func syntax(text []byte) string {
	var v any
	err := json.Unmarshal(text, &v)
	if err == nil {
		return ""
	}
	return "is not JSON: " + err.Error()
}

// quoted returns a text as JSON, without escapes that people would not write.
func quoted(s string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be encoded
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}
