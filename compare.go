package flawless

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// compared has the members of the head of each kind of call: true are those that say what is asked for, which
// a replay compares. The others say how long, how often and how it is tried, what people read about it, and where
// the call was made. What was logged of them holds for as long as the call is open, whatever newer code says.
// A member that is not here is compared: new ones are what was asked for until somebody says otherwise.
var compared = map[string]map[string]bool{
	"http": {"method": true, "url": true, "headers": true, "stream": true,
		"idempotent": false, "timeout_ms": false, "limit": false, "on_unknown": false, "longer": false, "redirects": false, "retry": false, "retry_for_ms": false, "key_within_ms": false},
	"read":      {"call": true, "from": true, "close": true},
	"secret":    {"name": true},
	"sleep":     {"until": true, "for": true},
	"cancelled": {},
	"spawn":     {"module": true, "workflow": true, "detached": true, "shielded": false},
	"await":     {"run": true},
	"send":      {"to": true, "type": true},
	"receive":   {"type": true, "types": true, "until": false, "schema": false},
	"reply":     {"message": true},
	"withdraw":  {"call": true, "why": true, "settle": false},
	"promise":   {"name": true, "secret": true, "expires": false, "schema": false},
	"state":     {"name": true, "op": true, "lock": true},
	"doubt":     {"request": true, "reason": false},
}

// Compared tells whether a member of the head of a call takes part in the comparison of a replay, and whether
// calls of that kind are known to have it.
func Compared(kind, member string) (takesPart, known bool) {
	if member == "at" {
		return false, true
	}
	takesPart, known = compared[kind][member]
	return takesPart || !known, known
}

// Same tells whether two calls ask for the same: kind, body, and what [Compared] says of the head. The number
// and how the JSON of the head is written take no part; a member that is null is as good as absent.
func (c Call) Same(o Call) bool {
	if c.Kind != o.Kind || !bytes.Equal(c.Body, o.Body) {
		return false
	}
	return bytes.Equal(c.Head, o.Head) || bytes.Equal(plainHead(c), plainHead(o))
}

// plainHead is the head of a call without what takes no part in comparisons.
func plainHead(c Call) []byte {
	m := asked(c)
	if m == nil {
		return c.Head
	}
	out, err := json.Marshal(m)
	if err != nil {
		return c.Head
	}
	return out
}

// asked are the members of the head of a call that are compared, nil where it is not an object.
func asked(c Call) map[string]any {
	m, ok := parsed(c.Head).(map[string]any)
	if !ok {
		return nil
	}
	maps.DeleteFunc(m, func(name string, v any) bool {
		takesPart, _ := Compared(c.Kind, name)
		return v == nil || !takesPart
	})
	return m
}

// parsed is JSON, nil where it is none.
func parsed(text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return v
}

// Unequal is a part of a call that two sides do not have in common.
type Unequal struct {
	Field  string // such as url, headers.Accept, body.items[2].price
	Logged string // JSON, or plain text where it is a body that is none; "" where the part is missing
	Asked  string
}

// Unlike returns the parts of what two calls ask for that differ, none where they are the same.
func (c Call) Unlike(o Call) []Unequal {
	if c.Kind != o.Kind {
		return []Unequal{{"kind", c.Kind, o.Kind}}
	}
	u := &unlike{}
	a, b := asked(c), asked(o)
	if a == nil || b == nil {
		u.texts("head", c.Head, o.Head)
	} else {
		for _, m := range []map[string]any{a, b} {
			if h := byName(m["headers"]); h != nil {
				m["headers"] = h
			}
		}
		u.values("", a, b)
	}
	if !bytes.Equal(c.Body, o.Body) {
		u.body(c.Body, o.Body)
	}
	return u.all
}

// unlike collects differences.
type unlike struct{ all []Unequal }

func (u *unlike) texts(field string, a, b []byte) {
	if !bytes.Equal(a, b) {
		u.all = append(u.all, Unequal{field, string(a), string(b)})
	}
}

// body goes into two bodies that differ, where both are JSON.
func (u *unlike) body(a, b []byte) {
	x, y := parsed(a), parsed(b)
	before := len(u.all)
	if x != nil && y != nil {
		u.values("body", x, y)
	}
	if len(u.all) == before { // also where only their spelling differs: bodies are compared byte by byte
		u.texts("body", a, b)
	}
}

// values goes into two values of JSON.
func (u *unlike) values(field string, a, b any) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		names := slices.Collect(maps.Keys(x))
		for name := range y {
			if _, both := x[name]; !both {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			u.values(strings.TrimPrefix(field+"."+name, "."), part(x, name), part(y, name))
		}
		return
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		for i := range x {
			u.values(field+"["+strconv.Itoa(i)+"]", x[i], y[i])
		}
		return
	}
	if p, q := text(a), text(b); p != q {
		u.all = append(u.all, Unequal{field, p, q})
	}
}

// missing stands for a member that an object does not have.
type missing struct{}

func part(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return missing{}
}

func text(v any) string {
	if v == (missing{}) {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// byName makes an object of a list of headers, nil where it is none. A name that comes twice has both values.
func byName(headers any) map[string]any {
	list, ok := headers.([]any)
	if !ok {
		return nil
	}
	out := map[string]any{}
	for _, h := range list {
		pair, _ := h.([]any)
		if len(pair) != 2 {
			return nil
		}
		name, isName := pair[0].(string)
		value, isValue := pair[1].(string)
		if !isName || !isValue {
			return nil
		}
		if before, twice := out[name].(string); twice {
			value = before + ", " + value
		}
		out[name] = value
	}
	return out
}
