package wasabi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// MaxCommand is the longest command in bytes: the largest body of a call (64 MiB) in base64, and what surrounds it.
const MaxCommand = 64<<20/3*4 + 1<<20

// Guest is the guest that a session serves. Its methods may panic to end the guest, for instance because it goes
// over a limit; the session lets such panics pass.
type Guest interface {
	// Call makes a call and returns its number.
	Call(kind string, head, body []byte) int
	// Await blocks until one of the calls has an answer, and returns the answer of the first in the list that has.
	Await(calls ...int) flawless.Answer
	// Expects reports whether a replay expects a call with this head. It is true if this is no replay.
	Expects(head []byte) bool
	// Log writes a log line.
	Log(level, text string)
	// Publish sets the run's data, which is JSON.
	Publish(data []byte)
	// Now returns the clock of the turn, in Unix nanoseconds.
	Now() int64
	// Random returns the next number of the run's randomness.
	Random() uint64
	// Input returns the input of the run, JSON or empty.
	Input() []byte
	// Placeholder returns the placeholder of a secret.
	Placeholder(secret string) string
}

// Session carries out the commands of one run. It is not safe for concurrent use.
type Session struct {
	module    *Module
	guest     Guest
	cancelled int             // the call that is answered when the run is cancelled
	response  []byte          // the last that was sent
	locked    map[string]lock // shared states that an alpha guest has locked
}

// Begin begins a session for a run, before its workflow.
func (m *Module) Begin(g Guest) *Session {
	return &Session{module: m, guest: g, cancelled: g.Call("cancelled", []byte("{}"), nil), locked: map[string]lock{}}
}

// Output returns the output of the run, JSON, once its workflow has returned.
func (s *Session) Output() []byte {
	if s.response == nil {
		return []byte("null")
	}
	return s.response
}

// Fault is why a command ends the guest. Kind is that of a [flawless.Failure]. The text is logged, and replay compares
// it with the logged one: texts of faults are never changed.
type Fault struct{ Kind, Text string }

func (f *Fault) Error() string { return f.Text }

func fail(kind, format string, args ...any) { panic(&Fault{kind, fmt.Sprintf(format, args...)}) }

// trap ends a guest that breaks the rules of the interface.
func trap(format string, args ...any) { fail("trap", format, args...) }

// Submit carries out a command and returns its result, in the encoding of the command. It blocks until the calls of
// the command are answered. A [Fault] ends the guest: its code cannot be told.
func (s *Session) Submit(text []byte) (result []byte, fault *Fault) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *Fault:
			result, fault = nil, p
		default:
			panic(p)
		}
	}()
	if s.module.alpha {
		return appendBinary(nil, s.carryOut(parseBinary(text))), nil
	}
	return s.carryOut(parseJSON(text)).json(), nil
}

// command is a request of the guest. In JSON it is a word, or an object with one member. The crate
// flawless-wasabi defines it as the enum Input.
type command struct {
	Log *logging

	SendResponse  *string
	SetData       *string
	Random        *map[string]json.RawMessage
	Sleep         *duration
	HTTPRequest   *httpRequest
	GetSecret     *string
	RecvMessage   *[2]json.RawMessage // a duration or null, and names of types
	StartWorkflow *[2]string          // name and input
	ReplayDebug   *string
	LockState     *string
	UnlockState   *string
	GetState      *string
	SetState      *[2]string // name and value
	GetInput      bool
	TimeNow       bool
}

// logging is a log line. One of the members is set, according to its level.
type logging struct{ Error, Warn, Info, Debug, Trace *string }

// output is the result of a command: a variant of the enum Output of the crate flawless-wasabi. The value is nil
// for a variant without one.
type output struct {
	name  string
	value any
}

// unit is the result of commands that return nothing.
var unit = output{name: "Unit"}

// clock is a std::time::SystemTime.
type clock struct {
	Secs  int64 `json:"secs_since_epoch"`
	Nanos int64 `json:"nanos_since_epoch"`
}

// duration is a std::time::Duration.
type duration struct {
	Secs  uint64 `json:"secs"`
	Nanos uint32 `json:"nanos"`
}

// nanoseconds returns the duration in nanoseconds, cut so that now and the duration fit an int64.
func (d duration) nanoseconds(now int64) int64 {
	longest := math.MaxInt64 - now
	if d.Secs >= uint64(longest/1e9) {
		return longest
	}
	return int64(d.Secs)*1e9 + int64(d.Nanos)
}

// parseJSON parses a command of the beta crates.
func parseJSON(text []byte) (c command) {
	switch string(text) {
	case `"GetInput"`:
		c.GetInput = true
	case `"TimeNow"`:
		c.TimeNow = true
	default:
		if err := json.Unmarshal(text, &c); err != nil {
			trap("the guest submitted an invalid command: %v: %.100q", err, text)
		}
	}
	if c == (command{}) {
		trap("the guest submitted a command that this engine does not know; it knows those of flawless %s: %.100q", knownVersions(), text)
	}
	return c
}

// carryOut carries out a command.
func (s *Session) carryOut(c command) output {
	switch {
	case c.GetInput:
		input := s.guest.Input()
		if len(input) == 0 {
			input = []byte("null")
		}
		return output{"String", string(input)}
	case c.TimeNow:
		now := s.guest.Now()
		return output{"Time", clock{now / 1e9, now % 1e9}}
	case c.Log != nil:
		s.log(c)
	case c.ReplayDebug != nil:
		s.guest.Log("debug", *c.ReplayDebug)
	case c.SetData != nil:
		s.publish([]byte(*c.SetData))
	case c.SendResponse != nil:
		s.publish([]byte(*c.SendResponse))
		s.response = []byte(*c.SendResponse)
		return output{"ResponseSent", true}
	case c.Random != nil:
		return s.draw(*c.Random)
	case c.Sleep != nil:
		s.sleep(*c.Sleep)
	case c.HTTPRequest != nil:
		return output{"HTTPResponse", s.exchange(c.HTTPRequest)}
	case c.GetSecret != nil:
		return s.secret(*c.GetSecret)
	case c.RecvMessage != nil:
		return s.receive(*c.RecvMessage)
	case c.StartWorkflow != nil:
		return s.spawn(c.StartWorkflow[0], c.StartWorkflow[1])
	case c.LockState != nil:
		s.lockState(*c.LockState)
	case c.GetState != nil:
		return s.getState(*c.GetState)
	case c.SetState != nil:
		s.setState(c.SetState[0], c.SetState[1])
	case c.UnlockState != nil:
		s.unlockState(*c.UnlockState)
	}
	return unit
}

func (s *Session) sleep(d duration) {
	s.noError("sleep", s.await(s.guest.Call("sleep", fmt.Appendf(nil, `{"for":%d}`, d.nanoseconds(s.guest.Now())), nil)))
}

// json is the output as serde writes it.
func (o output) json() []byte {
	if o.value == nil {
		return strconv.AppendQuote(nil, o.name)
	}
	return encode(map[string]any{o.name: o.value})
}

// encode writes JSON without escaping for HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("wasabi: encoding JSON: " + err.Error())
	}
	return b.Bytes()[:b.Len()-1]
}

// headOf encodes the head of a call.
func headOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("wasabi: encoding the head of a call: " + err.Error())
	}
	return b
}

// await returns the answer of a call. It ends the guest if the run is cancelled first: the crates have no way to
// tell the code.
func (s *Session) await(call int) flawless.Answer {
	a := s.guest.Await(call, s.cancelled)
	if a.Call != s.cancelled {
		return a
	}
	var c struct{ By, Note string }
	_ = json.Unmarshal(a.Head, &c) // the engine wrote it
	var by, note string
	if c.By != "" {
		by = " by " + c.By
	}
	if c.Note != "" {
		note = ": " + c.Note
	}
	fail("cancelled", "the run was cancelled%s%s", by, note)
	return a
}

// noError ends the guest if an answer is an error that the crates cannot tell the code.
func (s *Session) noError(kind string, a flawless.Answer) {
	var head struct{ Error *struct{ Message string } }
	if err := json.Unmarshal(a.Head, &head); err == nil && head.Error != nil {
		fail("error", "the call %d of kind %s: %s", a.Call, kind, head.Error.Message)
	}
}

func (s *Session) log(c command) {
	for _, l := range []struct {
		level string
		text  *string
	}{{"error", c.Log.Error}, {"warn", c.Log.Warn}, {"info", c.Log.Info}, {"debug", c.Log.Debug}, {"debug", c.Log.Trace}} {
		if l.text != nil {
			s.guest.Log(l.level, *l.text)
		}
	}
}

func (s *Session) publish(data []byte) {
	if !json.Valid(data) {
		trap("the guest published data that is not JSON: %.100q", data)
	}
	s.guest.Publish(data)
}

// draw returns a random number of the requested type.
func (s *Session) draw(of map[string]json.RawMessage) output {
	if len(of) != 1 {
		trap("the guest asked for a random number of %d types, one is possible", len(of))
	}
	n := s.guest.Random()
	for typ := range of {
		var v any
		switch typ {
		case "Bool":
			v = n>>63 == 1
		case "I32":
			v = int32(n >> 32)
		case "I64":
			v = int64(n)
		case "F32":
			v = float32(n>>40) / (1 << 24)
		case "F64":
			v = float64(n>>11) / (1 << 53)
		default:
			trap("the guest asked for a random number of type %.20q; there are Bool, I32, I64, F32, F64", typ)
		}
		return output{"Value", map[string]any{typ: v}}
	}
	return output{}
}

// secret returns the placeholder of a secret, or nothing if there is no such secret. Runs from before the call
// of kind secret existed were given a placeholder without asking, and their logs do not have the call.
func (s *Session) secret(name string) output {
	head := headOf(struct {
		Name string `json:"name"`
	}{name})
	if s.guest.Expects(head) {
		a := s.await(s.guest.Call("secret", head, nil))
		s.noError("secret", a)
		var answer struct{ Known bool }
		if err := json.Unmarshal(a.Head, &answer); err != nil {
			trap("the answer of call %d cannot be read: %v", a.Call, err)
		}
		if !answer.Known {
			return output{"Secret", (*string)(nil)}
		}
	}
	placeholder := s.guest.Placeholder(name)
	return output{"Secret", &placeholder}
}

func (s *Session) receive(wanted [2]json.RawMessage) output {
	type receiving struct {
		Types []string `json:"types"`
		Until int64    `json:"until,omitempty"`
	}
	var h receiving
	var limit *duration
	if json.Unmarshal(wanted[0], &limit) != nil || json.Unmarshal(wanted[1], &h.Types) != nil {
		trap("the guest waits for messages with an invalid command: %.100q", wanted)
	}
	switch {
	case len(h.Types) > 0:
	case limit == nil:
		fail("error", "the code waits for a message of no type and without a time-out, so for ever: give receive! a type or +timeout")
	default:
		s.sleep(*limit)
		return output{name: "Timeout"}
	}
	if limit != nil {
		h.Until = s.guest.Now() + limit.nanoseconds(s.guest.Now())
	}
	a := s.await(s.guest.Call("receive", headOf(h), nil))
	var answer struct {
		Type  string
		Error *answerError
	}
	if err := json.Unmarshal(a.Head, &answer); err != nil {
		trap("the answer of call %d cannot be read: %v", a.Call, err)
	}
	if answer.Error != nil && answer.Error.Kind == "expired" {
		return output{name: "Timeout"}
	}
	s.noError("receive", a)
	return output{"Message", []string{answer.Type, string(a.Body)}}
}

// spawn starts a run that is independent of this one. The crate does not use the number.
func (s *Session) spawn(workflow, input string) output {
	type spawning struct {
		Workflow string `json:"workflow"`
		Detached bool   `json:"detached"`
	}
	call := s.guest.Call("spawn", headOf(spawning{workflow, true}), []byte(input))
	s.noError("spawn", s.await(call))
	return output{"Value", map[string]any{"I64": int64(call)}}
}
