package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
)

// Several servers on one database are one engine: any of them answers any request. A request is tried here first. If the
// engine says that another server owns what it is for, nothing has been done, and the request goes to the owner, one hop:
// the owner carries it out or says that it is not the owner, and never passes it on.

// Cluster connects the API with those of the other servers on the same database.
type Cluster struct {
	Peer *peer.Peer
	// Patience is how long a request waits for somebody to own what it is for, such as while another server takes over from
	// one that has crashed. 0 is 20 s, twice the time of a lease.
	Patience time.Duration
}

// HandlerOf returns the API of one server of several: for clients, without authentication (see [Require]), and for requests
// that other servers pass on. Streams end when ctx ends.
func HandlerOf(ctx context.Context, e *engine.Engine, log *slog.Logger, c Cluster) (clients, servers http.Handler) {
	c.Patience = cmp.Or(c.Patience, 20*time.Second)
	a, _ := newAPI(ctx, e, log, http.NewServeMux())
	a.cluster = &c
	return guard(log, forStore(e.Health().Store, whileHealthy(e, http.HandlerFunc(a.forward)))), guard(log, whileHealthy(e, http.HandlerFunc(a.arrive)))
}

// Headers of requests that a server passes on. Those of clients are ignored.
const (
	madeHeader  = "Flawless-Made"  // an id that the first server has made, see passage
	againHeader = "Flawless-Again" // the request may have been carried out before
	shardHeader = reply.ShardHeader
)

// passage is a request in a cluster, from the first server that has it to the one that carries it out.
type passage struct {
	passedOn bool   // another server has passed it on to this one
	again    bool   // it may have been carried out before: the connection to its owner broke
	alone    bool   // the owner cannot be reached: answer from the store
	made     string // an id or a key that was made for it; the same however often it is repeated
	body     []byte // as takeBody has read it
	op       string // the operation, once it is known
}

type passageKey struct{}

// passageOf returns the passage of a request, or nil if there is only one server.
func passageOf(ctx context.Context) *passage {
	p, _ := ctx.Value(passageKey{}).(*passage)
	return p
}

// isRepeated reports whether a request may have been carried out before.
func isRepeated(ctx context.Context) bool {
	p := passageOf(ctx)
	return p != nil && p.again
}

// made returns an id or a key for what a request creates: given if the client has given one. In a cluster it is made by the
// first server and is the same for all repetitions, so they create nothing twice. Otherwise it is "", and the engine makes one.
func made(ctx context.Context, given string, by func() string) string {
	p := passageOf(ctx)
	if given != "" || p == nil {
		return given
	}
	if p.made == "" {
		p.made = by()
	}
	return p.made
}

// ownersWord returns an error that sends the request to the owner of a run, which knows more about it than the store says.
// It returns nil at the owner, and if the owner cannot be reached.
func (a *api) ownersWord(ctx context.Context, run string) error {
	if p := passageOf(ctx); p == nil || p.passedOn || p.alone {
		return nil
	}
	if err := a.engine.Owns(run); errors.Is(err, flawless.Elsewhere) {
		return err
	}
	return nil
}

// needShard returns an error that sends a request to another server if this one owns nothing, so that it cannot write. It is for
// operations that answer before they write; the others find out when they do.
func (a *api) needShard(ctx context.Context) error {
	if p := passageOf(ctx); p == nil || p.passedOn || len(a.engine.Shards()) > 0 {
		return nil
	}
	return &store.ElsewhereError{Shard: store.ShardOfCaps}
}

// arrive answers a request that another server has passed on.
func (a *api) arrive(w http.ResponseWriter, r *http.Request) {
	p := &passage{passedOn: true, again: r.Header.Get(againHeader) != "", made: r.Header.Get(madeHeader)}
	a.inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), passageKey{}, p)))
}

// forward answers a request of a client, here or by passing it on.
func (a *api) forward(w http.ResponseWriter, r *http.Request) {
	p := &passage{}
	ctx := context.WithValue(r.Context(), passageKey{}, p)
	read := false
	f := &forwarding{api: a, passage: p, began: time.Now()}
	for {
		again := r.WithContext(ctx)
		if read {
			again.Body = io.NopCloser(bytes.NewReader(p.body))
		}
		read = true
		c := &catcher{ResponseWriter: w}
		a.inner.ServeHTTP(c, again)
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
	api     *api
	passage *passage
	began   time.Time // since when nobody has answered
	tries   int
	last    error // why the last try failed
}

// passOn passes a request on to the owner of a shard, and its answer to the client. It returns false if the request must be
// tried here again: the shard has another owner now, perhaps this server.
func (f *forwarding) passOn(ctx context.Context, w http.ResponseWriter, r *http.Request, shard string) bool {
	rules := rulesOf(f.passage.op)
	n, err := strconv.ParseUint(shard, 10, 16)
	if err != nil || n > uint64(store.ShardOfCaps) { // a write has just found out that the shard was lost: the next try knows which
		return f.rest(ctx, w, r)
	}
	owner, err := f.api.cluster.Peer.Owner(ctx, store.Shard(n))
	switch {
	case err != nil:
		f.last = err
		return f.rest(ctx, w, r)
	case owner.Here: // another request has claimed it, or its work is about to begin
		return f.rest(ctx, w, r)
	}
	sent := time.Now()
	res, err := f.api.cluster.Peer.Send(owner.Node, f.request(ctx, r))
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
	case err != nil && !rules.again:
		refuseUnknown(w, r, rules, owner.Node, err)
		return true
	case err != nil:
		f.last, f.passage.again = err, true
	case answer.elsewhere():
		f.last = fmt.Errorf("node %s says that it does not own shard %d: %w", owner.Node.Name, n, flawless.Elsewhere)
	case answer.stopping() && rules.again:
		f.last, f.passage.again = fmt.Errorf("node %s is stopping: %w", owner.Node.Name, flawless.Stopping), true
	case f.passage.again && answer.disagrees():
		refuseRepeated(w, r, rules, answer)
		return true
	default:
		answer.write(w)
		return true
	}
	_, _ = f.api.cluster.Peer.NextOwner(ctx, owner) // read who owns what again
	return f.rest(ctx, w, r)
}

// rest waits before the next try, longer each time. It answers the request and returns true when its patience is over.
func (f *forwarding) rest(ctx context.Context, w http.ResponseWriter, r *http.Request) bool {
	if rulesOf(f.passage.op).at == ownerOrStore {
		f.passage.alone = true
		return false
	}
	f.tries++
	select {
	case <-time.After(min(10*time.Millisecond<<min(f.tries, 10), 500*time.Millisecond)):
	case <-ctx.Done():
		return true
	}
	if time.Since(f.began) < f.api.cluster.Patience {
		return false
	}
	why, code := "no server owns it", flawless.Stopping
	if f.last != nil {
		why = strings.TrimSuffix(f.last.Error(), ": "+string(flawless.CodeOf(f.last)))
	}
	if f.passage.again {
		why, code = "the request may have been carried out. "+rulesOf(f.passage.op).look+". "+why, flawless.Lost
	}
	reply.Refuse(w, r, fmt.Errorf("passing the request on to the server that owns what it is for: none has answered within %v; try again in a moment: %s: %w", f.api.cluster.Patience, why, code))
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
func refuseUnknown(w http.ResponseWriter, r *http.Request, rules rules, n flawless.Node, err error) {
	reply.Refuse(w, r, fmt.Errorf("passing the request on to node %s, which owns what it is for: the connection broke after the request was sent, so it may have been carried out. %s before you send it again: %v: %w",
		n.Name, rules.look, err, flawless.Lost))
}

// refuseRepeated answers a request that was repeated because the first answer was lost, and that the owner then refused.
func refuseRepeated(w http.ResponseWriter, r *http.Request, rules rules, a *answer) {
	reply.Refuse(w, r, fmt.Errorf("passing the request on to its owner: the connection broke before the answer came, so it was sent again, and was refused then, perhaps because the first one was carried out. %s: %s: %w",
		rules.look, cmp.Or(a.problem.Detail, http.StatusText(a.StatusCode)), flawless.Lost))
}

// noteOperation is the middleware that notes which operation a request is for.
func noteOperation(c huma.Context, next func(huma.Context)) {
	if p := passageOf(c.Context()); p != nil {
		p.op = c.Operation().OperationID
	}
	next(c)
}
