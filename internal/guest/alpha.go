package guest

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// The crates flawless 1.0.0-alpha.16 have the beta's host function, with commands and results in bincode
// instead of JSON: numbers little-endian and of fixed size, variants of enums as u32, lengths as u64.

// alphaModule tells whether a module is one of the alpha, and returns its workflows: it exports them under
// their own names.
func alphaModule(m *rewrite.Result) (workflows []string, is bool) {
	if _, is = m.Exports[betaAlloc]; !is {
		return nil, false
	}
	for name, typ := range m.Exports {
		if typ == "()->()" && !slices.ContainsFunc(exports, func(e export) bool { return e.name == name }) && !strings.HasPrefix(name, "__") {
			workflows = append(workflows, name)
		}
	}
	return workflows, len(workflows) > 0
}

// reader reads bincode. What is not there traps.
type reader []byte

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(*r)) {
		trap("the guest submitted a command that ends too early; this engine knows those of flawless %s", knownVersions())
	}
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) u32() uint32    { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64    { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) bytes() []byte  { return r.take(r.u64()) }
func (r *reader) text() *string  { s := string(r.bytes()); return &s }
func (r *reader) span() duration { return duration{r.u64(), r.u32()} }

// The variants of its enums, in order.
var (
	alphaTypes  = []string{"Bool", "I32", "I64", "F32", "F64"}
	alphaErrors = []string{"InvalidUrl", "UnknownScheme", "Dns", "ConnectionFailed", "TooManyRedirects", "BadStatus", "BadHeader", "Io", "StatusCode"}
)

// parseBinary understands a command of the alpha.
func parseBinary(text []byte) (c command) {
	r := (*reader)(&text)
	switch variant := r.u32(); variant {
	case 0:
		c.GetInput = true
	case 1:
		c.SetData = r.text()
	case 2:
		typ := r.u32()
		if typ >= uint32(len(alphaTypes)) {
			trap("the guest asked for a random number of type %d; there are %v", typ, alphaTypes)
		}
		text = nil // a number of that type, which says nothing
		c.Random = &map[string]json.RawMessage{alphaTypes[typ]: nil}
	case 3:
		c.Log = &logging{}
		levels := []**string{&c.Log.Info, &c.Log.Warn, &c.Log.Error, &c.Log.Debug, &c.Log.Trace}
		level := r.u32()
		if level >= uint32(len(levels)) {
			trap("the guest logged a line of level %d; there are %d", level, len(levels))
		}
		*levels[level] = r.text()
	case 4:
		d := r.span()
		c.Sleep = &d
	case 5:
		c.HTTPRequest = r.request()
	case 6:
		c.GetSecret = r.text()
	case 7:
		c.TimeNow = true
	case 8:
		c.LockState = r.text()
	case 9:
		c.UnlockState = r.text()
	case 10:
		c.GetState = r.text()
	case 11:
		c.SetState = &[2]string{*r.text(), *r.text()}
	default:
		trap("the guest submitted a command of number %d; this engine knows those of flawless %s", variant, knownVersions())
	}
	if len(text) > 0 {
		trap("the guest submitted a command with %d bytes behind it; this engine knows those of flawless %s", len(text), knownVersions())
	}
	return c
}

func (r *reader) request() *httpRequest {
	q := &httpRequest{}
	q.Config.Idempotent = r.take(1)[0] != 0
	q.Config.Timeout, q.Config.Limit = r.span(), r.u64()
	q.Method, q.URL = *r.text(), *r.text()
	for n := r.u64(); n > 0; n-- {
		q.Headers = append(q.Headers, [2]string{*r.text(), *r.text()})
	}
	q.Body.bytes = r.bytes()
	return q
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendBinary writes a result as the alpha reads it.
func appendBinary(b []byte, o output) []byte {
	le := binary.LittleEndian
	switch o.name {
	case "Value":
		for typ, v := range o.value.(map[string]any) { // there is one
			b = le.AppendUint32(le.AppendUint32(b, 1), uint32(slices.Index(alphaTypes, typ)))
			switch v := v.(type) {
			case bool:
				b = append(b, 0)
				if v {
					b[len(b)-1] = 1
				}
			case int32:
				b = le.AppendUint32(b, uint32(v))
			case int64:
				b = le.AppendUint64(b, uint64(v))
			case float32:
				b = le.AppendUint32(b, math.Float32bits(v))
			case float64:
				b = le.AppendUint64(b, math.Float64bits(v))
			}
		}
	case "String":
		b = appendText(le.AppendUint32(b, 2), o.value.(string))
	case "HTTPResponse":
		b = o.value.(exchanged).binary(le.AppendUint32(b, 3))
	case "Secret":
		b = appendOption(le.AppendUint32(b, 4), o.value.(*string))
	case "Time":
		t := o.value.(clock)
		b = le.AppendUint32(le.AppendUint64(le.AppendUint32(b, 5), uint64(t.Secs)), uint32(t.Nanos))
	case "State":
		b = appendOption(le.AppendUint32(b, 6), o.value.(*string))
	default:
		b = le.AppendUint32(b, 0) // Unit
	}
	return b
}

func appendOption(b []byte, s *string) []byte {
	if s == nil {
		return append(b, 0)
	}
	return appendText(append(b, 1), *s)
}

func (e exchanged) binary(b []byte) []byte {
	le := binary.LittleEndian
	if t := e.broken; t != nil {
		kind := slices.Index(alphaErrors, t.Kind)
		if kind < 0 { // RequestInterrupted came with the beta
			kind = slices.Index(alphaErrors, "Io")
		}
		b = le.AppendUint32(le.AppendUint32(b, 1), 1)
		b = le.AppendUint32(b, uint32(kind))
		return appendOption(appendOption(b, &t.Message), &t.URL)
	}
	r := e.response
	if r.Status >= 400 {
		b = le.AppendUint16(le.AppendUint32(le.AppendUint32(b, 1), 0), r.Status)
	} else {
		b = le.AppendUint32(b, 0)
	}
	b = appendText(le.AppendUint16(b, r.Status), r.URL)
	b = le.AppendUint64(b, uint64(len(r.Headers)))
	for _, f := range r.Headers {
		b = appendText(appendText(b, f[0]), f[1])
	}
	return append(le.AppendUint64(b, uint64(len(r.Body.bytes))), r.Body.bytes...)
}

// holding is a state that a guest of the alpha has locked.
type holding struct {
	call  int    // that asked for the hold
	value []byte // empty where there is none
	set   bool   // the value is a new one
}

// sharing is the head of a call of kind state.
type sharing struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	Lock int    `json:"lock,omitempty"`
}

// share makes a call of kind state and returns its number and the value.
func (i *Instance) share(s sharing, body []byte) (call int, value []byte) {
	call = i.ask("state", headOf(s), body)
	a := i.await(call)
	i.plain("state", a)
	return call, a.Body
}

func (i *Instance) lockState(name string) {
	call, value := i.share(sharing{Name: name, Op: "lock"}, nil)
	if i.holds == nil {
		i.holds = map[string]holding{}
	}
	i.holds[name] = holding{call: call, value: value}
}

func (i *Instance) getState(name string) output {
	h, held := i.holds[name]
	if !held {
		_, h.value = i.share(sharing{Name: name, Op: "get"}, nil)
	}
	if len(h.value) == 0 {
		return output{"State", (*string)(nil)}
	}
	text := string(h.value)
	return output{"State", &text}
}

// setState changes a state that is locked. The others see it when it is unlocked.
func (i *Instance) setState(name, value string) {
	h, held := i.holds[name]
	if !held {
		trap("the guest set the state %q, which it has not locked", name)
	}
	h.value, h.set = []byte(value), true
	i.holds[name] = h
}

func (i *Instance) unlockState(name string) {
	h, held := i.holds[name]
	switch {
	case !held:
		return
	case h.set:
		i.share(sharing{name, "put", h.call}, h.value)
	default:
		i.share(sharing{name, "unlock", h.call}, nil)
	}
	delete(i.holds, name)
}
