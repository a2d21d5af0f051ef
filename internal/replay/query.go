package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Query is what to look for in the log of a run: a text, or a condition on one value.
//
//	condition  root path operator value
//	root       data, call or line
//	path       .name, [3] or ["any name"], repeated; nothing is the whole
//	operator   == != < <= > >= ~
//	value      JSON; for ~ a regular expression, in quotes or not
//
// data is what a turn publishes. call has n, kind, at, head and body, which is a value if it is JSON and else a text. line has level,
// text, at and fields. Numbers compare as numbers, texts by their bytes. What is not there meets no condition, not even !=.
type Query struct {
	text  string // what to look for; a condition has none
	root  string
	path  []any // names (string) and positions (int)
	op    string
	value any
	match *regexp.Regexp // of ~
}

var (
	conditionForm = regexp.MustCompile(`^(data|call|line)((?:\.[\pL_$][\pL\pN_$-]*|\[[0-9]+\]|\["(?:[^"\\]|\\.)*"\])*)\s*(==|!=|<=|>=|<|>|~)\s*(\S.*)$`)
	stepForm      = regexp.MustCompile(`\.([\pL_$][\pL\pN_$-]*)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]`)
)

// ParseQuery reads a query. A text that does not have the form of a condition is looked for as it is. The error is
// [flawless.Invalid] for a condition whose value cannot be read.
func ParseQuery(text string) (Query, error) {
	m := conditionForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Query{text: text}, nil
	}
	q := Query{root: m[1], op: m[3]}
	for _, s := range stepForm.FindAllStringSubmatch(m[2], -1) {
		var step any = s[1]
		switch {
		case s[2] != "":
			n, err := strconv.Atoi(s[2])
			if err != nil {
				return Query{}, fmt.Errorf("the condition %q: the position %s is too large: %w", text, s[2], flawless.Invalid)
			}
			step = n
		case s[3] != "":
			var name string
			if err := json.Unmarshal([]byte(s[3]), &name); err != nil {
				return Query{}, fmt.Errorf("the condition %q: the name %s is not a JSON text: %w", text, s[3], flawless.Invalid)
			}
			step = name
		}
		q.path = append(q.path, step)
	}
	value, isJSON := decoded([]byte(m[4]))
	if q.op == "~" {
		pattern, quoted := value.(string)
		if !quoted {
			pattern = m[4]
		}
		var err error
		if q.match, err = regexp.Compile(pattern); err != nil {
			return Query{}, fmt.Errorf("the condition %q: %q is not a regular expression: %v: %w", text, pattern, err, flawless.Invalid)
		}
		return q, nil
	}
	if !isJSON {
		return Query{}, fmt.Errorf(`the condition %q compares with %s, which is not JSON; put texts in quotes, as in %s%s %s "paid": %w`, text, m[4], m[1], m[2], q.op, flawless.Invalid)
	}
	q.value = value
	return q, nil
}

// decoded returns the value of a JSON text, and whether it is one.
func decoded(text []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return v, d.Decode(&v) == nil && !d.More()
}

// met returns what of the root meets the condition, as text, and whether it does.
func (q *Query) met(root any) (string, bool) {
	v := root
	for _, step := range q.path {
		switch at := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			member, has := m[at]
			if !has {
				return "", false
			}
			v = member
		case int:
			list, _ := v.([]any)
			if at >= len(list) {
				return "", false
			}
			v = list[at]
		}
	}
	shown, err := json.Marshal(v)
	if err != nil {
		return "", false
	}
	return string(shown), q.holds(v, string(shown))
}

// holds reports whether a value, which is text as JSON, meets the condition.
func (q *Query) holds(v any, text string) bool {
	if q.match != nil {
		if s, isText := v.(string); isText {
			text = s
		}
		return q.match.MatchString(text)
	}
	order, ordered := compared(v, q.value)
	switch q.op {
	case "==":
		return ordered && order == 0
	case "!=":
		return !ordered || order != 0
	case "<":
		return ordered && order < 0
	case "<=":
		return ordered && order <= 0
	case ">":
		return ordered && order > 0
	}
	return ordered && order >= 0
}

// compared compares two values of the same kind. Values that are neither texts nor numbers are the same or have no order.
func compared(a, b any) (order int, ordered bool) {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	case json.Number:
		y, ok := b.(json.Number)
		return comparedNumbers(x, y), ok
	}
	p, errP := json.Marshal(a)
	q, errQ := json.Marshal(b)
	return 0, errP == nil && errQ == nil && bytes.Equal(p, q)
}

// comparedNumbers compares integers exactly, and others as floats.
func comparedNumbers(a, b json.Number) int {
	m, errM := a.Int64()
	n, errN := b.Int64()
	if errM == nil && errN == nil {
		return order(m, n)
	}
	x, _ := a.Float64() // out of range is infinite
	y, _ := b.Float64()
	return order(x, y)
}

func order[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
