package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// streams serve streamed responses in the parts that the simulated server flushed. On a connection, the boundaries are
// random, and a workflow whose result depends on them would end differently each time.
type streams struct {
	web     *effect.Client
	outside *outside

	mu  sync.Mutex
	all map[string]*arrived // by idempotency key
}

// arrived is the received part of a response.
type arrived struct {
	mu   sync.Mutex // held while a read waits
	body []byte
	end  bool
}

// read performs a `read` call.
func (s *streams) read(ctx context.Context, t effect.Attempt) effect.Result {
	h, err := effect.ParseRead(t.Call)
	key := t.Run + "-" + strconv.Itoa(h.Call)
	told := s.outside.telling(key)
	if err != nil || h.Close || told == nil {
		return s.web.Read(ctx, t)
	}
	s.mu.Lock()
	if s.all == nil {
		s.all = map[string]*arrived{}
	}
	a := s.all[key]
	if a == nil {
		a = &arrived{}
		s.all[key] = a
	}
	s.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for from := int(h.From); from <= len(a.body); {
		end := told.rec.partEnd(from)
		switch {
		case end != 0 && end <= len(a.body):
			return part(t, a.body[from:end], false)
		case a.end:
			return part(t, a.body[from:], true)
		}
		more := t
		more.Call.Head, _ = json.Marshal(effect.ReadHead{Call: h.Call, From: int64(len(a.body))}) // cannot fail: numbers only
		r := s.web.Read(ctx, more)
		var head struct {
			End   bool            `json:"end"`
			Error json.RawMessage `json:"error"`
		}
		if json.Unmarshal(r.Answer.Head, &head) != nil || r.Outcome != effect.Answered || head.Error != nil {
			if from < len(a.body) {
				return part(t, a.body[from:], false) // the next read reports the error
			}
			return r
		}
		a.body, a.end = append(a.body, r.Answer.Body...), head.End
	}
	return s.web.Read(ctx, t) // it began before the crash
}

func part(t effect.Attempt, body []byte, end bool) effect.Result {
	a := flawless.Answer{Call: t.Call.N, Head: []byte(`{}`), Body: append([]byte(nil), body...)}
	if end {
		a.Head = []byte(`{"end":true}`)
	}
	return effect.Result{Outcome: effect.Answered, Answer: a, Text: fmt.Sprintf("%d bytes", len(body))}
}

// streamed reports whether the response to a call is streamed.
func streamed(c flawless.Call) bool {
	var head struct{ Stream bool }
	return c.Kind == effect.HTTP && json.Unmarshal(c.Head, &head) == nil && head.Stream
}

// cutOff returns the calls whose responses were cut off.
func cutOff(log []flawless.Record) (calls []int) {
	reads := map[int]int{}
	for _, rec := range log {
		for _, e := range rec.Entries {
			switch {
			case e.Turn != nil:
				for _, c := range e.Turn.Calls {
					if h, err := effect.ParseRead(c); c.Kind == effect.Read && err == nil {
						reads[c.N] = h.Call
					}
				}
			case e.Arrival != nil && reads[e.Arrival.Answer.Call] != 0:
				var head struct{ Error struct{ Kind string } }
				if json.Unmarshal(e.Arrival.Answer.Head, &head) == nil && head.Error.Kind == "broken" {
					calls = append(calls, reads[e.Arrival.Answer.Call])
				}
			}
		}
	}
	return calls
}
