package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// maxCommand is the longest command that submit takes, in bytes: a body of maxBody in base64, and
// what is around it.
const maxCommand = maxBody/3*4 + 1<<20

// command is what a beta guest asks for: a word, or an object with one member. The crate
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

// logging is a line, of the one level that is there.
type logging struct{ Error, Warn, Info, Debug, Trace *string }

// output is what a command results in: a variant of the enum Output of the crate flawless-wasabi. A nil
// value is a variant without one.
type output struct {
	name  string
	value any
}

// unit is the result of commands that have none.
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

// nanoseconds are those of the duration, at most until the year 2262.
func (d duration) nanoseconds(now int64) int64 {
	most := math.MaxInt64 - now
	if d.Secs >= uint64(most/1e9) {
		return most
	}
	return int64(d.Secs)*1e9 + int64(d.Nanos)
}

// submit is the one host function of a beta guest. It takes a command, as JSON or as the alpha writes it,
// carries it out by way of calls, blocks for their answers, and hands over the result in the same form, in
// memory that the guest gives and owns.
//
//	in, size     the command
//	ptr, length  where to put the address and the length of the result
//	result       0
func submit(i *Instance, s []uint64) uint32 {
	if i.stepping == nil || i.m.beta == nil {
		trap("the guest called wasabi.submit outside of a workflow of the crate flawless")
	}
	if s[1] > maxCommand {
		trap("the guest submitted a command of %d bytes, at most %d are allowed", s[1], maxCommand)
	}
	text := bytes.Clone(i.bytesAt("command", s[0], s[1]))
	var result []byte
	if i.m.beta.alpha {
		result = appendBinary(nil, i.carryOut(parseBinary(text)))
	} else {
		result = i.carryOut(parseJSON(text)).json()
	}
	i.handBack(result, s[2], s[3])
	return 0
}

// parseJSON understands a command of the beta.
func parseJSON(text []byte) (c command) {
	switch string(text) {
	case `"GetInput"`:
		c.GetInput = true
	case `"TimeNow"`:
		c.TimeNow = true
	default:
		if err := json.Unmarshal(text, &c); err != nil {
			trap("the guest submitted a command that is not as it should be: %v: %.100q", err, text)
		}
	}
	if c == (command{}) {
		trap("the guest submitted a command that this engine does not know; it knows those of flawless %s: %.100q", knownVersions(), text)
	}
	return c
}

// handBack writes a result to memory that the guest makes for it.
func (i *Instance) handBack(result []byte, ptr, length uint64) {
	stack := []uint64{uint64(len(result))}
	if err := i.alloc.CallWithStack(i.ctx, stack); err != nil {
		panic(err) // the guest's own: it unwinds on
	}
	at := uint64(uint32(stack[0]))
	copy(i.bytesAt("buffer for a result", at, uint64(len(result))), result)
	binary.LittleEndian.PutUint32(i.bytesAt("place for an address", ptr, 4), uint32(at))
	binary.LittleEndian.PutUint32(i.bytesAt("place for a length", length, 4), uint32(len(result)))
}

func (i *Instance) carryOut(c command) output {
	switch {
	case c.GetInput:
		input := i.visible[0].Body
		if len(input) == 0 {
			input = []byte("null")
		}
		return output{"String", string(input)}
	case c.TimeNow:
		return output{"Time", clock{i.now / 1e9, i.now % 1e9}}
	case c.Log != nil:
		i.logged(c)
	case c.ReplayDebug != nil:
		i.noted("debug", *c.ReplayDebug)
	case c.SetData != nil:
		i.publish([]byte(*c.SetData))
	case c.SendResponse != nil:
		i.publish([]byte(*c.SendResponse))
		i.response = []byte(*c.SendResponse)
		return output{"ResponseSent", true}
	case c.Random != nil:
		return i.draw(*c.Random)
	case c.Sleep != nil:
		i.sleep(*c.Sleep)
	case c.HTTPRequest != nil:
		return output{"HTTPResponse", i.exchange(c.HTTPRequest)}
	case c.GetSecret != nil:
		return i.secret(*c.GetSecret)
	case c.RecvMessage != nil:
		return i.receive(*c.RecvMessage)
	case c.StartWorkflow != nil:
		return i.spawn(c.StartWorkflow[0], c.StartWorkflow[1])
	case c.LockState != nil:
		i.lockState(*c.LockState)
	case c.GetState != nil:
		return i.getState(*c.GetState)
	case c.SetState != nil:
		i.setState(c.SetState[0], c.SetState[1])
	case c.UnlockState != nil:
		i.unlockState(*c.UnlockState)
	}
	return unit
}

func (i *Instance) sleep(d duration) {
	i.plain("sleep", i.await(i.ask("sleep", fmt.Appendf(nil, `{"for":%d}`, d.nanoseconds(i.now)), nil)))
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
		panic("guest: what cannot be JSON: " + err.Error())
	}
	return b.Bytes()[:b.Len()-1]
}

// headOf is the head of a call.
func headOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("guest: a head that is not JSON: " + err.Error())
	}
	return b
}

// ask makes a call in the name of the guest.
func (i *Instance) ask(kind string, head, body []byte) int {
	i.item(len(head)+len(body), 2)
	return i.make(kind, head, body)
}

// await blocks until a call has its answer. It does not return where the run is cancelled first: the
// code cannot be told.
func (i *Instance) await(call int) flawless.Answer {
	for {
		if a, there := i.visible[call]; there {
			delete(i.visible, call)
			return a.Answer
		}
		if a, there := i.visible[i.cancelled]; there {
			var c struct{ By, Note string }
			_ = json.Unmarshal(a.Head, &c) // the engine wrote it
			text := "the run was cancelled"
			if c.By != "" {
				text += " by " + c.By
			}
			if c.Note != "" {
				text += ": " + c.Note
			}
			panic(&fault{"cancelled", text})
		}
		i.pause()
	}
}

// plain ends the run where an answer is an error that the guest cannot be told.
func (i *Instance) plain(kind string, a flawless.Answer) {
	var head struct{ Error *struct{ Message string } }
	if err := json.Unmarshal(a.Head, &head); err == nil && head.Error != nil {
		panic(&fault{"error", fmt.Sprintf("the call %d of kind %s: %s", a.Call, kind, head.Error.Message)})
	}
}

func (i *Instance) logged(c command) {
	for _, l := range []struct {
		level string
		text  *string
	}{{"error", c.Log.Error}, {"warn", c.Log.Warn}, {"info", c.Log.Info}, {"debug", c.Log.Debug}, {"debug", c.Log.Trace}} {
		if l.text != nil {
			i.noted(l.level, *l.text)
		}
	}
}

func (i *Instance) noted(level, text string) {
	i.item(len(text), 1)
	i.logLine(flawless.Line{Level: level, Text: text})
}

// publish sets the run's data.
func (i *Instance) publish(data []byte) {
	if !json.Valid(data) {
		trap("the guest published data that is not JSON: %.100q", data)
	}
	i.weigh(len(data))
	i.out.Data = data
}

// draw takes a number from the run's randomness.
func (i *Instance) draw(of map[string]json.RawMessage) output {
	if len(of) != 1 {
		trap("the guest asked for a random number of %d types, one is possible", len(of))
	}
	n := i.random.Uint64()
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

// secret returns the placeholder of a secret, or nothing where there is no such secret. Logs of runs from
// before there was a call for that question have none, and those runs were given a placeholder.
func (i *Instance) secret(name string) output {
	head := headOf(struct {
		Name string `json:"name"`
	}{name})
	if i.expect == nil || i.expects(head) {
		a := i.await(i.ask("secret", head, nil))
		i.plain("secret", a)
		var answer struct{ Known bool }
		if err := json.Unmarshal(a.Head, &answer); err != nil {
			trap("the answer of call %d cannot be read: %v", a.Call, err)
		}
		if !answer.Known {
			return output{"Secret", (*string)(nil)}
		}
	}
	placeholder := flawless.Placeholder(name, i.secrets)
	return output{"Secret", &placeholder}
}

func (i *Instance) receive(wanted [2]json.RawMessage) output {
	type receiving struct {
		Types []string `json:"types"`
		Until int64    `json:"until,omitempty"`
	}
	var h receiving
	var limit *duration
	if json.Unmarshal(wanted[0], &limit) != nil || json.Unmarshal(wanted[1], &h.Types) != nil {
		trap("the guest waits for messages with a command that is not as it should be: %.100q", wanted)
	}
	switch {
	case len(h.Types) > 0:
	case limit == nil:
		panic(&fault{"error", "the code waits for a message of no type and without a time-out, so for ever: give receive! a type or +timeout"})
	default:
		i.sleep(*limit)
		return output{name: "Timeout"}
	}
	if limit != nil {
		h.Until = i.now + limit.nanoseconds(i.now)
	}
	a := i.await(i.ask("receive", headOf(h), nil))
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
	i.plain("receive", a)
	return output{"Message", []string{answer.Type, string(a.Body)}}
}

// spawn starts a run that goes on by itself. The crate keeps the number and does nothing with it.
func (i *Instance) spawn(workflow, input string) output {
	type spawning struct {
		Workflow string `json:"workflow"`
		Detached bool   `json:"detached"`
	}
	call := i.ask("spawn", headOf(spawning{workflow, true}), []byte(input))
	i.plain("spawn", i.await(call))
	return output{"Value", map[string]any{"I64": int64(call)}}
}
