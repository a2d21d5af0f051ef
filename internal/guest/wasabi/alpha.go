package wasabi

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// The crates 1.0.0-alpha.16 have the host function of the beta crates, with commands and results in bincode instead
// of JSON: numbers are little-endian and of fixed size, enum variants are u32, lengths are u64.

// alphaWorkflows reports whether a module was built with the alpha crates, and returns its workflows. They are
// exported under their own names.
func alphaWorkflows(exports map[string]string, own func(export string) bool) (workflows []string, is bool) {
	if _, is = exports[Alloc]; !is {
		return nil, false
	}
	for name, typ := range exports {
		if typ == "()->()" && !own(name) && !strings.HasPrefix(name, "__") {
			workflows = append(workflows, name)
		}
	}
	return workflows, len(workflows) > 0
}

// reader reads bincode. Reading beyond the end traps.
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

// The variants of the crates' enums, in order.
var (
	alphaTypes  = []string{"Bool", "I32", "I64", "F32", "F64"}
	alphaErrors = []string{"InvalidUrl", "UnknownScheme", "Dns", "ConnectionFailed", "TooManyRedirects", "BadStatus", "BadHeader", "Io", "StatusCode"}
)

// parseBinary parses a command of the alpha crates.
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
		text = nil // the rest is a number of that type, and unused
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

// appendBinary appends a result in the encoding of the alpha crates.
func appendBinary(b []byte, o output) []byte {
	le := binary.LittleEndian
	switch o.name {
	case "Value":
		for typ, v := range o.value.(map[string]any) { // it has one item
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
		if kind < 0 { // the alpha crates lack RequestInterrupted
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

// lock is a shared state that a guest has locked.
type lock struct {
	call  int    // that locked it
	value []byte // empty if the state has no value
	set   bool   // value is new, and not written yet
}

// stateHead is the head of a call of kind state.
type stateHead struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	Lock int    `json:"lock,omitempty"`
}

// callState makes a call of kind state, and returns its number and the value it is answered with.
func (s *Session) callState(h stateHead, body []byte) (call int, value []byte) {
	call = s.guest.Call("state", headOf(h), body)
	a := s.await(call)
	s.noError("state", a)
	return call, a.Body
}

func (s *Session) lockState(name string) {
	call, value := s.callState(stateHead{Name: name, Op: "lock"}, nil)
	s.locked[name] = lock{call: call, value: value}
}

func (s *Session) getState(name string) output {
	l, held := s.locked[name]
	if !held {
		_, l.value = s.callState(stateHead{Name: name, Op: "get"}, nil)
	}
	if len(l.value) == 0 {
		return output{"State", (*string)(nil)}
	}
	text := string(l.value)
	return output{"State", &text}
}

// setState changes a locked state. Other runs see the new value once it is unlocked.
func (s *Session) setState(name, value string) {
	l, held := s.locked[name]
	if !held {
		trap("the guest set the state %q, which it has not locked", name)
	}
	l.value, l.set = []byte(value), true
	s.locked[name] = l
}

func (s *Session) unlockState(name string) {
	l, held := s.locked[name]
	switch {
	case !held:
		return
	case l.set:
		s.callState(stateHead{name, "put", l.call}, l.value)
	default:
		s.callState(stateHead{name, "unlock", l.call}, nil)
	}
	delete(s.locked, name)
}
