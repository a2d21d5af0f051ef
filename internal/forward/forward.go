package forward

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
)

// Headers of requests that a server passes on. Those of clients are ignored.
const (
	madeHeader  = "Flawless-Made"  // an id that the first server has made, see passage
	againHeader = "Flawless-Again" // the request may have been carried out before
	shardHeader = reply.ShardHeader
)

// Passage is a request in a cluster, from the first server that has it to the one that carries it out.
type Passage struct {
	Op       string // the operation; set it once it is known
	PassedOn bool   // another server has passed it on to this one
	Alone    bool   // the owner cannot be reached: answer from the store

	again bool   // it may have been carried out before: the connection to its owner broke
	made  string // an id or a key that was made for it; the same however often it is repeated
	body  []byte // as KeepBody got it
}

type key struct{}

// Of returns the passage of a request, or nil if there is only one server.
func Of(ctx context.Context) *Passage {
	p, _ := ctx.Value(key{}).(*Passage)
	return p
}

// KeepBody keeps the body of a request that may have to be passed on. Nobody may change its bytes.
func KeepBody(ctx context.Context, b []byte) {
	if p := Of(ctx); p != nil {
		p.body = b
	}
}

// IsRepeated reports whether a request may have been carried out before.
func IsRepeated(ctx context.Context) bool {
	p := Of(ctx)
	return p != nil && p.again
}

// Made returns an id or a key for what a request creates: given if the client has given one. In a cluster it is made by the
// first server and is the same for all repetitions, so they create nothing twice. Otherwise it is "", and the engine makes one.
func Made(ctx context.Context, given string, by func() string) string {
	p := Of(ctx)
	if given != "" || p == nil {
		return given
	}
	if p.made == "" {
		p.made = by()
	}
	return p.made
}

// RequestID returns an id for a request, which is the same for all repetitions, in a cluster; else "".
func RequestID(ctx context.Context) string { return Made(ctx, "", rand.Text) }

// Rules say how requests for an operation are passed on.
type Rules struct {
	Again   bool   // may be sent again when it is unknown whether it was carried out
	Look    string // what a person does to find out whether it was
	OrStore bool   // if the owner cannot be reached, it is tried once more, with Passage.Alone
}

// Forwarder is a handler for requests of clients. Its fields do not change.
type Forwarder struct {
	Peer *peer.Peer
	// Patience is how long a request waits for somebody to own what it is for.
	Patience time.Duration
	Inner    http.Handler // tries to carry out a request
	Rules    func(op string) Rules
}

// Arrive answers a request that another server has passed on.
func (x *Forwarder) Arrive(w http.ResponseWriter, r *http.Request) {
	p := &Passage{PassedOn: true, again: r.Header.Get(againHeader) != "", made: r.Header.Get(madeHeader)}
	x.Inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, p)))
}

// ServeHTTP answers a request of a client, here or by passing it on.
func (x *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := &Passage{}
	ctx := context.WithValue(r.Context(), key{}, p)
	f := &forwarding{Forwarder: x, passage: p, began: time.Now()}
	for first := true; ; first = false {
		again := r.WithContext(ctx)
		if !first {
			again.Body = io.NopCloser(bytes.NewReader(p.body))
		}
		c := &catcher{ResponseWriter: w}
		x.Inner.ServeHTTP(c, again)
		if !c.elsewhere || f.passOn(ctx, w, r, c.shard) {
			return
		}
	}
}

// catcher passes an answer on, unless it says that another server owns what the request is for.
type catcher struct {
	http.ResponseWriter
	elsewhere bool
	shard     string // which, as the header says; "" is not known yet
}

// Unwrap is for [http.ResponseController].
func (c *catcher) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (c *catcher) WriteHeader(status int) {
	h := c.Header()
	if _, says := h[shardHeader]; says && status == http.StatusMisdirectedRequest {
		c.elsewhere, c.shard = true, h.Get(shardHeader)
		for _, name := range []string{shardHeader, "Content-Type", "Link"} {
			h.Del(name)
		}
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (c *catcher) Write(b []byte) (int, error) {
	if c.elsewhere {
		return len(b), nil
	}
	return c.ResponseWriter.Write(b)
}

// forwarding is the way of a request to its owner.
type forwarding struct {
	*Forwarder
	passage *Passage
	began   time.Time // since when nobody has answered
	tries   int
	last    error // why the last try failed
}

// passOn passes a request on to the owner of a shard, and its answer to the client. It returns false if the request must be
// tried here again: the shard has another owner now, perhaps this server.
func (f *forwarding) passOn(ctx context.Context, w http.ResponseWriter, r *http.Request, shard string) bool {
	rules := f.Rules(f.passage.Op)
	n, err := strconv.ParseUint(shard, 10, 16)
	if err != nil || n > uint64(store.ShardOfCaps) { // a write has just found out that the shard was lost: the next try knows which
		return f.rest(ctx, w, r)
	}
	owner, err := f.Peer.Owner(ctx, store.Shard(n))
	switch {
	case err != nil:
		f.last = err
		return f.rest(ctx, w, r)
	case owner.Here: // another request has claimed it, or its work is about to begin
		return f.rest(ctx, w, r)
	}
	sent := time.Now()
	res, err := f.Peer.Send(owner.Node, f.request(ctx, r))
	var answer *answer
	if err == nil {
		answer, err = readAnswer(res)
	}
	if time.Since(sent) > time.Second { // the owner was there
		f.began = time.Now()
	}
	switch {
	case ctx.Err() != nil:
		return true // the client has disconnected
	case errors.Is(err, peer.ErrUnsent):
		f.last = err
	case err != nil && !rules.Again:
		refuseUnknown(w, r, rules, owner.Node, err)
		return true
	case err != nil:
		f.last, f.passage.again = err, true
	case answer.elsewhere():
		f.last = fmt.Errorf("node %s says that it does not own shard %d: %w", owner.Node.Name, n, flawless.Elsewhere)
	case answer.stopping() && rules.Again:
		f.last, f.passage.again = fmt.Errorf("node %s is stopping: %w", owner.Node.Name, flawless.Stopping), true
	case f.passage.again && answer.disagrees():
		refuseRepeated(w, r, rules, answer)
		return true
	default:
		answer.write(w)
		return true
	}
	_, _ = f.Peer.NextOwner(ctx, owner) // read who owns what again
	return f.rest(ctx, w, r)
}

// rest waits before the next try, longer each time. It answers the request and returns true when its patience is over.
func (f *forwarding) rest(ctx context.Context, w http.ResponseWriter, r *http.Request) bool {
	if f.Rules(f.passage.Op).OrStore {
		f.passage.Alone = true
		return false
	}
	f.tries++
	select {
	case <-time.After(min(10*time.Millisecond<<min(f.tries, 10), 200*time.Millisecond)):
	case <-ctx.Done():
		return true
	}
	if time.Since(f.began) < f.Patience {
		return false
	}
	why, code := "no server owns it", flawless.Stopping
	if f.last != nil {
		why = strings.TrimSuffix(f.last.Error(), ": "+string(flawless.CodeOf(f.last)))
	}
	if f.passage.again {
		why, code = "the request may have been carried out. "+f.Rules(f.passage.Op).Look+". "+why, flawless.Lost
	}
	reply.Refuse(w, r, fmt.Errorf("passing the request on to the server that owns what it is for: none has answered within %v; try again in a moment: %s: %w", f.Patience, why, code))
	return true
}

// request returns what is sent to the owner.
func (f *forwarding) request(ctx context.Context, r *http.Request) *http.Request {
	u := *r.URL
	out := (&http.Request{Method: r.Method, URL: &u, Host: r.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}}).WithContext(ctx)
	for name, values := range r.Header {
		if !stays(name) {
			out.Header[name] = values
		}
	}
	if p := f.passage; len(p.body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(p.body)), int64(len(p.body))
	}
	if f.passage.made != "" {
		out.Header.Set(madeHeader, f.passage.made)
	}
	if f.passage.again {
		out.Header.Set(againHeader, "1")
	}
	return out
}

// stays reports whether a header is between the client and the first server: about their connection, credentials that have
// been checked, and what only servers say.
func stays(name string) bool {
	switch name {
	case "Authorization", "Cookie", "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Accept-Encoding",
		flawless.StoreHeader, madeHeader, againHeader, shardHeader:
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Sec-")
}

// answer is the answer of an owner. Its body has been read, unless it is a stream or very long.
type answer struct {
	*http.Response
	body    []byte
	all     bool // body is all of it
	problem reply.Problem
}

// maxRead is the maximum number of bytes of an answer that are read before the first of them is passed on. An answer that is
// read can be asked for again if the connection breaks in its middle.
const maxRead = 8 << 20

func readAnswer(res *http.Response) (*answer, error) {
	a := &answer{Response: res}
	kind := res.Header.Get("Content-Type")
	if strings.HasPrefix(kind, "text/event-stream") {
		return a, nil
	}
	var err error
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxRead)); err != nil {
		_ = res.Body.Close()
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if a.all = len(a.body) < maxRead; a.all {
		_ = res.Body.Close()
	}
	if kind == a.problem.ContentType("") {
		_ = json.Unmarshal(a.body, &a.problem)
	}
	return a, nil
}

func (a *answer) elsewhere() bool {
	_, says := a.Header[shardHeader]
	return says && a.StatusCode == http.StatusMisdirectedRequest
}

func (a *answer) stopping() bool {
	return a.StatusCode == http.StatusServiceUnavailable && (a.problem.Code == flawless.Stopping || a.problem.Code == flawless.Fenced)
}

// disagrees reports whether the owner refuses a repeated request because of what it finds, which may be the effect of the
// request itself.
func (a *answer) disagrees() bool {
	return a.StatusCode == http.StatusConflict || a.StatusCode == http.StatusNotFound
}

// write passes an answer on as it came.
func (a *answer) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range a.Header {
		switch name {
		case "Connection", "Date", "X-Content-Type-Options", "Cross-Origin-Resource-Policy", "X-Frame-Options":
		default:
			h[name] = values
		}
	}
	w.WriteHeader(a.StatusCode)
	_, err := w.Write(a.body)
	if a.all || err != nil {
		_ = a.Body.Close()
		return
	}
	defer func() { _ = a.Body.Close() }()
	if passStream(w, a.Body) != nil {
		panic(http.ErrAbortHandler) // so that the client notices that the answer is incomplete
	}
}

// passStream copies a stream piece by piece. It returns an error if the stream broke.
func passStream(w http.ResponseWriter, from io.Reader) error {
	flush := http.NewResponseController(w).Flush
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, e := w.Write(b[:n]); e != nil {
				return nil // the client has disconnected
			}
			_ = flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// refuseUnknown answers a request that may have been carried out and must not be repeated.
func refuseUnknown(w http.ResponseWriter, r *http.Request, rules Rules, n flawless.Node, err error) {
	reply.Refuse(w, r, fmt.Errorf("passing the request on to node %s, which owns what it is for: the connection broke after the request was sent, so it may have been carried out. %s before you send it again: %v: %w",
		n.Name, rules.Look, err, flawless.Lost))
}

// refuseRepeated answers a request that was repeated because the first answer was lost, and that the owner then refused.
func refuseRepeated(w http.ResponseWriter, r *http.Request, rules Rules, a *answer) {
	reply.Refuse(w, r, fmt.Errorf("passing the request on to its owner: the connection broke before the answer came, so it was sent again, and was refused then, perhaps because the first one was carried out. %s: %s: %w",
		rules.Look, cmp.Or(a.problem.Detail, http.StatusText(a.StatusCode)), flawless.Lost))
}
