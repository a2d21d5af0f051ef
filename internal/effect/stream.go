package effect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect/transport"
)

const (
	// maxAhead is how much of a response is read before the guest asks for it. Then the server has to wait.
	maxAhead = 64 << 10
	// keepUnread is how long a stream waits for the guest to go on reading.
	keepUnread = 15 * time.Minute
)

const kindBroken = "broken"

// Reading is what a `read` call asks for: the next part of the response to a call that is streamed.
type Reading struct {
	Call  int   `json:"call"`
	From  int64 `json:"from"`  // bytes that the guest has had
	Close bool  `json:"close"` // no more is wanted
}

// ParseRead understands a `read` call.
func ParseRead(c flawless.Call) (Reading, error) {
	var h Reading
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Call <= 0 || h.Call >= c.N {
		return h, invalid(Read, `member "call" is %d, give the number of a call made before`, h.Call)
	}
	if h.From < 0 {
		return h, invalid(Read, `member "from" is %d, give the bytes that were read already`, h.From)
	}
	return h, nil
}

// checkRead: a part may be asked for again. It is kept until the next one is asked for, and where it is gone
// nothing happens but that the guest is told so.
func checkRead(c flawless.Call) (Policy, error) {
	h, err := ParseRead(c)
	return Policy{Title: "read on in the response to call " + strconv.Itoa(h.Call), Idempotent: true}, err
}

// streams are the responses that guests read as they come, by run and call.
type streams struct {
	mu     sync.Mutex
	runs   map[string]map[int]*stream
	over   map[string]map[int]string // why those of a run that goes on were closed
	closed bool
	tasks  sync.WaitGroup
}

func (all *streams) get(run string, call int) *stream {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.runs[run][call]
}

func (all *streams) put(run string, call int, s *stream) {
	all.mu.Lock()
	before := all.runs[run][call]
	switch {
	case all.closed:
		before = s
	case all.runs == nil:
		all.runs = map[string]map[int]*stream{}
		fallthrough
	default:
		if all.runs[run] == nil {
			all.runs[run] = map[int]*stream{}
		}
		all.runs[run][call] = s
		s.unread = time.AfterFunc(keepUnread, func() {
			all.drop(run, call, s, fmt.Sprintf("its connection was closed because nothing was read for %v", keepUnread))
		})
	}
	all.mu.Unlock()
	if before != nil {
		before.close()
	}
}

// drop closes a stream and forgets all of it but why. s is the one that is meant, nil is any.
func (all *streams) drop(run string, call int, s *stream, why string) {
	all.mu.Lock()
	there := all.runs[run][call]
	if there == nil || s != nil && there != s {
		all.mu.Unlock()
		return
	}
	if delete(all.runs[run], call); len(all.runs[run]) == 0 {
		delete(all.runs, run)
	}
	if all.over == nil {
		all.over = map[string]map[int]string{}
	}
	if all.over[run] == nil {
		all.over[run] = map[int]string{}
	}
	all.over[run][call] = why
	all.mu.Unlock()
	there.close()
}

// dropRun closes the streams of a run.
func (all *streams) dropRun(run string) {
	all.mu.Lock()
	there := all.runs[run]
	delete(all.runs, run)
	delete(all.over, run)
	all.mu.Unlock()
	for _, s := range there {
		s.close()
	}
}

func (all *streams) close() {
	all.mu.Lock()
	runs := all.runs
	all.runs, all.closed = nil, true
	all.mu.Unlock()
	for _, there := range runs {
		for _, s := range there {
			s.close()
		}
	}
	all.tasks.Wait()
}

// stream is a response on its way from a connection to a guest. A goroutine carries out the exchange and fills
// it, as far as there is room; reads empty it. Secrets are hidden before anything is kept.
type stream struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timeout time.Duration // until the head comes, and from a read to the part it gets
	asked   *request      // before secrets were put in
	veil    *veil
	trail   *transport.Trail
	begun   bool       // the head was handed over; the goroutine's
	head    chan begun // has the head once it is there
	unread  *time.Timer

	mu     sync.Mutex
	change chan struct{} // is closed when something of what follows changes
	ahead  []byte        // not given out yet
	at     int64         // bytes that were given out
	last   part          // what was given out last
	end    *part         // what is given out behind ahead; nil while the response goes on
}

// begun is a response of which the body is still to come.
type begun struct {
	reply  *transport.Reply
	stages transport.Trail
	asked  *request
}

// part is what a read gets.
type part struct {
	body []byte
	end  bool
	kind string // of the error that it is, "" where it is none
	why  string
	slow bool
}

func newStream(timeout time.Duration) *stream {
	s := &stream{timeout: timeout, head: make(chan begun, 1), change: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

var errUnwanted = errors.New("nobody reads on")

// close ends the exchange. Whoever reads is told that the stream has ended.
func (s *stream) close() {
	if s.unread != nil {
		s.unread.Stop()
	}
	s.cancel(errUnwanted)
}

// changed wakes those that wait. The caller holds mu.
func (s *stream) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

// receive returns a function that takes over the response to a request if its body is to be read as it comes. Other
// responses are short, and may be reasons to retry.
func (s *stream) receive(r *request) func(res *http.Response, sent int64) (*transport.Reply, bool, error) {
	return func(res *http.Response, sent int64) (*transport.Reply, bool, error) {
		if res.StatusCode < 200 || res.StatusCode > 299 || res.StatusCode == http.StatusNoContent || r.Method == http.MethodHead {
			return nil, false, nil
		}
		a, err := s.pump(res, r, sent)
		return a, true, err
	}
}

// pump hands the head over, and then the body as it is asked for. It returns what is left of the response.
func (s *stream) pump(res *http.Response, r *request, sent int64) (*transport.Reply, error) {
	a := &transport.Reply{Status: res.StatusCode, Header: res.Header}
	s.veil.hide(a, nil)
	s.begun = true
	stages := slices.Clone(*s.trail)
	if stages[len(stages)-1].Name != "sent" {
		stages.Add("sent", sent)
	}
	stages.Add("answered", time.Now().UnixNano())
	s.head <- begun{a, stages, s.asked}
	rest := &transport.Reply{Status: res.StatusCode, Header: http.Header{}}
	room, held, total := make([]byte, 16<<10), []byte(nil), int64(0)
	for {
		n, err := res.Body.Read(room)
		if over := total + int64(n) - r.Limit; over > 0 {
			n -= int(over)
			rest.TooLarge, rest.Cut, err = !r.Cut, r.Cut, io.EOF
		}
		total += int64(n)
		held = append(held, room[:n]...)
		ready := len(held)
		if err != io.EOF || rest.Cut {
			ready = s.veil.sure(held)
		}
		if ready > 0 && !s.offer([]byte(s.veil.hidden(string(held[:ready])))) {
			return nil, context.Cause(s.ctx)
		}
		held = held[ready:]
		switch err {
		case nil:
		case io.EOF:
			return rest, nil
		default:
			return nil, err
		}
	}
}

// offer keeps a piece for the next read. It waits for room, and returns false where nobody wants it any more.
func (s *stream) offer(piece []byte) bool {
	for {
		s.mu.Lock()
		if len(s.ahead) < maxAhead {
			s.ahead = append(s.ahead, piece...)
			s.changed()
			s.mu.Unlock()
			return true
		}
		change := s.change
		s.mu.Unlock()
		select {
		case <-change:
		case <-s.ctx.Done():
			return false
		}
	}
}

// finish says what comes behind the last piece of a response that has begun.
func (s *stream) finish(a *transport.Reply, f *transport.Fault) {
	if !s.begun {
		return
	}
	end := part{end: true}
	switch {
	case f != nil && errors.Is(context.Cause(s.ctx), context.DeadlineExceeded):
		end = part{kind: kindBroken, slow: true, why: fmt.Sprintf("nothing more of the response came for %v", s.timeout)}
	case f != nil && errors.Is(context.Cause(s.ctx), errUnwanted):
		end = part{kind: kindBroken, why: "the stream was closed"}
	case f != nil:
		end = part{kind: kindBroken, why: f.Err.Error()}
	case a.TooLarge:
		end = part{kind: kindTooLarge, why: fmt.Sprintf("the response is longer than the limit of %d bytes", s.asked.Limit)}
	}
	s.mu.Lock()
	s.end = &end
	s.changed()
	s.mu.Unlock()
	s.cancel(nil)
}

// next returns the part that begins at a place, and waits for it. Of the places before the end only that of the
// last part is still there.
func (s *stream) next(ctx context.Context, from int64) (part, error) {
	slow := time.NewTimer(s.timeout)
	defer slow.Stop()
	s.unread.Stop()
	defer s.unread.Reset(keepUnread)
	for {
		s.mu.Lock()
		switch {
		case from < s.at && from == s.at-int64(len(s.last.body)):
			defer s.mu.Unlock()
			return s.last, nil
		case from != s.at:
			defer s.mu.Unlock()
			return part{kind: kindBroken, why: fmt.Sprintf("the stream is at byte %d, and byte %d was asked for", s.at, from)}, nil
		case len(s.ahead) > 0 || s.end != nil:
			defer s.mu.Unlock()
			p := part{body: s.ahead}
			if s.end != nil && (len(p.body) == 0 || s.end.end) {
				p = *s.end
				p.body = s.ahead
			}
			s.ahead, s.last = nil, p
			s.at += int64(len(p.body))
			s.changed()
			return p, nil
		}
		change := s.change
		s.mu.Unlock()
		select {
		case <-change:
		case <-slow.C:
			s.cancel(context.DeadlineExceeded) // which ends the exchange, and tells why
		case <-ctx.Done():
			return part{}, context.Cause(ctx)
		}
	}
}

// answer is the part as a guest gets it.
func (p part) answer(call int) flawless.Answer {
	switch {
	case p.kind != "" && p.slow:
		return errorAnswer(call, p.kind, p.why, "timeout", 0)
	case p.kind != "":
		return errorAnswer(call, p.kind, p.why, "", 0)
	case p.end:
		return flawless.Answer{Call: call, Head: []byte(`{"end":true}`), Body: p.body}
	}
	return flawless.Answer{Call: call, Head: []byte(`{}`), Body: p.body}
}

// begin carries out one try of a call whose response is streamed. It returns when the head is there; the rest
// waits for reads. A response that is not streamed is the answer as a whole.
func (c *Client) begin(ctx context.Context, t Try, r *request) Result {
	s := newStream(r.timeout)
	r.stream = s
	whole := make(chan Result, 1)
	c.streams.tasks.Go(func() { c.fill(s, t, r, whole) })
	slow := time.NewTimer(r.timeout)
	defer slow.Stop()
	select {
	case <-ctx.Done():
		s.cancel(context.Cause(ctx))
	case <-slow.C:
		s.cancel(context.DeadlineExceeded)
	case res := <-whole:
		s.cancel(nil)
		return res
	case h := <-s.head:
		return c.streaming(t, s, h)
	}
	select {
	case res := <-whole:
		return res
	case h := <-s.head:
		return c.streaming(t, s, h)
	}
}

// fill carries out the exchange. Either the head is handed over, or the whole: the end of a short response may come
// before anybody has looked for its head, and must not be taken for all of it.
func (c *Client) fill(s *stream, t Try, r *request, whole chan<- Result) {
	defer s.recovered(t, whole)
	if res := c.carryOut(s.ctx, t, r); !s.begun {
		whole <- res
	}
}

// recovered turns a panic of the exchange into its outcome.
func (s *stream) recovered(t Try, whole chan<- Result) {
	p := recover()
	if p == nil {
		return
	}
	text := fmt.Sprintf("the engine failed while it performed the call: %v", p)
	s.finish(nil, &transport.Fault{Err: errors.New(text)})
	if s.begun {
		return
	}
	whole <- Result{Outcome: Unknown, Text: text, Answer: InDoubtAnswer(t.Run, t.Call, t.Policy.Idempotent, text, "", 0)}
}

// streaming is the result of a try whose response goes on.
func (c *Client) streaming(t Try, s *stream, h begun) Result {
	c.streams.put(t.Run, t.Call.N, s)
	res := h.asked.answered(t, h.reply, h.stages)
	res.Text += ", to be read"
	res.Again = false
	head := res.Answer.Head
	res.Answer.Head = append(head[:len(head)-1], `,"stream":true}`...)
	return res
}

// Read carries out a `read` call.
func (c *Client) Read(ctx context.Context, t Try) Result {
	h, err := ParseRead(t.Call)
	if err != nil {
		return Result{Outcome: NotSent, Answer: ErrorAnswer(t.Call.N, kindInvalid, err.Error()), Text: err.Error()}
	}
	s := c.streams.get(t.Run, h.Call)
	switch {
	case h.Close:
		c.streams.drop(t.Run, h.Call, nil, "the code has closed it")
		return Result{Outcome: Answered, Answer: flawless.Answer{Call: t.Call.N, Head: []byte(`{}`)}, Text: "closed"}
	case s == nil:
		p := gone(h, c.streams.whyOver(t, h.Call))
		return Result{Outcome: Answered, Answer: p.answer(t.Call.N), Text: p.why}
	}
	p, err := s.next(ctx, h.From)
	if err != nil {
		text := "given up: " + err.Error()
		return Result{Outcome: Unknown, Answer: ErrorAnswer(t.Call.N, kindBroken, text), Text: text}
	}
	text := p.why
	if text == "" {
		text = fmt.Sprintf("%d bytes", len(p.body))
	}
	return Result{Outcome: Answered, Answer: p.answer(t.Call.N), Text: text}
}

// whyOver says why a run does not have the connection of one of its calls.
func (all *streams) whyOver(t Try, call int) string {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch why := all.over[t.Run][call]; {
	case why != "":
		return why
	case call <= t.Past:
		return otherRun(t.Of)
	}
	return "its connection ended with the run, or with an earlier start of the server"
}

func otherRun(of string) string {
	return fmt.Sprintf("its connection is that of run %s, which this run was made from", of)
}

// gone is what a read gets that finds no connection.
func gone(h Reading, why string) part {
	return part{kind: kindBroken, why: fmt.Sprintf("the response to call %d cannot be read on after byte %d: %s", h.Call, h.From, why)}
}

// GoneAnswer returns the answer of a `read` call in a run that was forked from another one, of, and so does not
// have the connection.
func GoneAnswer(c flawless.Call, of string) flawless.Answer {
	h, _ := ParseRead(c)
	return gone(h, otherRun(of)).answer(c.N)
}

// Ended closes what a run has left open. It is called when the run has ended.
func (c *Client) Ended(run string) { c.streams.dropRun(run) }
