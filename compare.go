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

// compared lists the members of the head of each kind of call. true marks those that say what is asked for, which a
// replay compares. The others say for how long, how often and how a call is tried, what people read about it, and
// where it was made; the logged ones apply as long as the call is open, whatever newer code says. A member that is
// not listed is compared, so that new members count until somebody decides otherwise.
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

// Compared reports whether a replay compares a member of the head of a call, and whether calls of that kind are known
// to have it.
func Compared(kind, member string) (takesPart, known bool) {
	if member == "at" {
		return false, true
	}
	takesPart, known = compared[kind][member]
	return takesPart || !known, known
}

// Same reports whether two calls ask for the same thing: same kind, same body, and equal members of the head
// according to [Compared]. It ignores their numbers and the formatting of the JSON, and treats null as absent.
func (c Call) Same(o Call) bool {
	if c.Kind != o.Kind || !bytes.Equal(c.Body, o.Body) {
		return false
	}
	return bytes.Equal(c.Head, o.Head) || bytes.Equal(plainHead(c), plainHead(o))
}

// plainHead returns the head of a call without members that are not compared.
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

// asked returns the members of the head of a call that are compared, or nil if the head is not an object.
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

// parsed returns the value of a JSON text, or nil if it is not valid.
func parsed(text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return v
}

// Mismatch is a part of a call that differs between the log and the code.
type Mismatch struct {
	Field  string // such as url, headers.Accept, body.items[2].price
	Logged string // JSON, or the plain text of a body that is not JSON; "" if the part is missing
	Asked  string
}

// Mismatches returns the parts in which two calls differ, or nil if they are the same in the sense of [Call.Same]. c is
// the logged call, o the one that the code asks for.
func (c Call) Mismatches(o Call) []Mismatch {
	if c.Kind != o.Kind {
		return []Mismatch{{"kind", c.Kind, o.Kind}}
	}
	u := &mismatches{}
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

// mismatches collects mismatches.
type mismatches struct{ all []Mismatch }

func (u *mismatches) texts(field string, a, b []byte) {
	if !bytes.Equal(a, b) {
		u.all = append(u.all, Mismatch{field, string(a), string(b)})
	}
}

// body compares two bodies that differ, part by part if both are JSON.
func (u *mismatches) body(a, b []byte) {
	x, y := parsed(a), parsed(b)
	before := len(u.all)
	if x != nil && y != nil {
		u.values("body", x, y)
	}
	if len(u.all) == before { // only the formatting differs, but bodies are compared byte by byte
		u.texts("body", a, b)
	}
}

// values compares two JSON values part by part.
func (u *mismatches) values(field string, a, b any) {
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
		u.all = append(u.all, Mismatch{field, p, q})
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

// byName converts a list of headers to an object, or returns nil if it is not one. The values of a repeated name are
// joined.
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
