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
	// maxAhead is how many bytes of a response are read before the guest asks for them. Then the server has to wait.
	maxAhead = 64 << 10
	// keepUnread is how long a stream waits for the next read of the guest.
	keepUnread = 15 * time.Minute
)

const kindBroken = "broken"

// ReadHead is the head of a `read` call, which asks for the next part of a streamed response.
type ReadHead struct {
	Call  int   `json:"call"`  // that the response answers
	From  int64 `json:"from"`  // offset of the part: how many bytes the guest has read
	Close bool  `json:"close"` // the guest reads no more
}

// ParseRead parses a `read` call.
func ParseRead(c flawless.Call) (ReadHead, error) {
	var h ReadHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if h.Call <= 0 || h.Call >= c.N {
		return h, invalid(Read, `member "call" is %d, give the number of an earlier call`, h.Call)
	}
	if h.From < 0 {
		return h, invalid(Read, `member "from" is %d, give the number of bytes read so far`, h.From)
	}
	return h, nil
}

// checkRead checks a `read` call. It is idempotent: a part is kept until the next one is read, and reading a part
// that is gone only returns an error.
func checkRead(c flawless.Call) (Policy, error) {
	h, err := ParseRead(c)
	return Policy{Title: "read on in the response to call " + strconv.Itoa(h.Call), Idempotent: true}, err
}

// streams holds the responses that guests read while they come, by run and call.
type streams struct {
	mu     sync.Mutex
	runs   map[string]map[int]*stream
	over   map[string]map[int]string // why streams of open runs were closed
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

// drop closes a stream and remembers why. If s is not nil, it does so only if s is the stream of the call.
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

// stream is a response on its way from a connection to a guest. A goroutine carries out the exchange and fills the
// stream as long as there is room; `read` calls empty it. Secrets are hidden before anything is buffered.
type stream struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timeout time.Duration // until the head comes, and from a read to its part
	asked   *request      // without secrets
	veil    *veil
	trail   *transport.Trail
	begun   bool       // the head was sent to the channel; owned by the goroutine
	head    chan begun // has the head once it is there
	unread  *time.Timer

	mu     sync.Mutex
	change chan struct{} // closed when one of the following fields changes
	ahead  []byte        // buffered, not read by the guest yet
	at     int64         // how many bytes the guest has read
	last   part          // that was read last
	end    *part         // to be read after ahead; nil while the response continues
}

// begun is a response whose body is still to come.
type begun struct {
	reply  *transport.Reply
	stages transport.Trail
	asked  *request
}

// part is the result of a read.
type part struct {
	body []byte
	end  bool
	kind string // of the error, "" if it is none
	why  string
	slow bool // the error is a time-out
}

func newStream(timeout time.Duration) *stream {
	s := &stream{timeout: timeout, head: make(chan begun, 1), change: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

var errUnwanted = errors.New("the stream was closed")

// close ends the exchange. A read under way gets an error.
func (s *stream) close() {
	if s.unread != nil {
		s.unread.Stop()
	}
	s.cancel(errUnwanted)
}

// changed wakes the goroutines that wait for a change. The caller holds mu.
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

// pump passes on the head and then the body, as it is read. It returns a reply without a body once all of it was
// passed on.
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

// offer buffers a piece for the next read. It waits for room, and returns false if the stream was closed.
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

// finish sets the last part of a response that has begun.
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

// next waits for the part that begins at an offset, and returns it. Of the parts that were read, only the last can be
// read again.
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
			s.cancel(context.DeadlineExceeded) // ends the exchange, with that cause
		case <-ctx.Done():
			return part{}, context.Cause(ctx)
		}
	}
}

// answer returns the answer of a `read` call that gets this part.
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

// begin carries out one attempt at a call whose response is streamed. It returns when the head is there; the body
// waits for reads. A response that is not streamed is returned as a whole.
func (c *Client) begin(ctx context.Context, t Attempt, r *request) Result {
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

// fill carries out the exchange. It sends either the head or the whole result, never both: a short response may end
// before begin has received its head, and its end must not be taken for the whole.
func (c *Client) fill(s *stream, t Attempt, r *request, whole chan<- Result) {
	defer s.recovered(t, whole)
	if res := c.carryOut(s.ctx, t, r); !s.begun {
		whole <- res
	}
}

// recovered turns a panic of the exchange into its outcome.
func (s *stream) recovered(t Attempt, whole chan<- Result) {
	p := recover()
	if p == nil {
		return
	}
	text := fmt.Sprintf("the engine failed while it performed the call: %v", p)
	s.finish(nil, &transport.Fault{Err: errors.New(text)})
	if s.begun {
		return
	}
	whole <- Result{Outcome: Unknown, Text: text, Answer: UnknownAnswer(t.Run, t.Call, t.Policy.Idempotent, text, "", 0)}
}

// streaming returns the result of an attempt whose response continues.
func (c *Client) streaming(t Attempt, s *stream, h begun) Result {
	c.streams.put(t.Run, t.Call.N, s)
	res := h.asked.answered(t, h.reply, h.stages)
	res.Text += ", to be read"
	res.Again = false
	head := res.Answer.Head
	res.Answer.Head = append(head[:len(head)-1], `,"stream":true}`...)
	return res
}

// Read carries out a `read` call.
func (c *Client) Read(ctx context.Context, t Attempt) Result {
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

// whyOver returns why a run has no connection for one of its calls.
func (all *streams) whyOver(t Attempt, call int) string {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch why := all.over[t.Run][call]; {
	case why != "":
		return why
	case call <= t.Past:
		return otherRun(t.Of)
	}
	return "its connection ended when the run ended or the server restarted"
}

func otherRun(of string) string {
	return fmt.Sprintf("its connection is that of run %s, which this run was made from", of)
}

// gone returns the result of a read that finds no connection.
func gone(h ReadHead, why string) part {
	return part{kind: kindBroken, why: fmt.Sprintf("the response to call %d cannot be read on after byte %d: %s", h.Call, h.From, why)}
}

// GoneAnswer returns the answer of a `read` call in a run that was forked from the run of, which has the connection.
func GoneAnswer(c flawless.Call, of string) flawless.Answer {
	h, _ := ParseRead(c)
	return gone(h, otherRun(of)).answer(c.N)
}

// Ended closes the streams of a run that has ended.
func (c *Client) Ended(run string) { c.streams.dropRun(run) }
