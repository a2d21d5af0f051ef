package flawless

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Stream makes the call return as soon as the head of the response has arrived. [Response.Stream] then delivers the
// body as it arrives, for APIs that answer piece by piece, such as server-sent events of a language model.
// [Response.Body] is nil.
//
// Each part is in the log of the run before the code sees it, and a replay reads the same parts. The engine reads at
// most 64 KiB ahead. The call counts as answered once the head has arrived: if the body breaks off later, reading
// returns an error of kind [KindBroken] at that point, and nothing is sent again, even if the call is idempotent or
// has a [Retry]. A restart of the server breaks a stream. [Timeout] limits the time to the head, and the time to each
// further part; [Limit] applies to all parts together. A response whose status is not 2xx is read as a whole and
// delivered through the same reader.
//
// [GetJSON] and [PostJSON] ignore this option.
func Stream() Option { return optionFunc(func(o *options) { o.stream = true }) }

// wholly undoes [Stream].
func wholly() Option { return optionFunc(func(o *options) { o.stream = false }) }

// whole makes a stream of a body that was not streamed, for code that expects one.
func (r *Response) whole() {
	r.Stream, r.Body = io.NopCloser(bytes.NewReader(r.Body)), nil
}

// responseStream reads the body of a response as it arrives.
type responseStream struct {
	ctx    context.Context // ends with the context of the call, and on Close
	cancel context.CancelCauseFunc
	call   int
	method string
	url    string
	at     string // call site

	mu   sync.Mutex
	from int64  // number of bytes received
	left []byte // unread rest of the last part
	err  error  // set once nothing more comes
}

var errClosed = errors.New("flawless: read of a closed response")

func newResponseStream(ctx context.Context, req *Request, call int, at string) *responseStream {
	s := &responseStream{call: call, method: req.method(), url: req.URL, at: at}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// Read implements io.Reader.
func (s *responseStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.left) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if s.left, s.err = s.next(); s.err != nil {
			s.cancel(s.err)
		}
		s.from += int64(len(s.left))
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// next waits for the next part. The error belongs to the read after that part.
func (s *responseStream) next() ([]byte, error) {
	if s.ctx.Err() != nil {
		return nil, s.stop()
	}
	n, err := makeCall("read", s.head(false), nil)
	if err != nil {
		return nil, err
	}
	if !turn.Wait(s.ctx, n) {
		abi.Forget(n)
		return nil, s.stop()
	}
	var h wire.Head
	body, err := abi.Take(n, &h)
	switch {
	case err != nil:
		return nil, err
	case h.Failure != nil:
		if err := overdue(s.ctx, h.Failure); err != nil {
			return nil, err
		}
		return nil, callError(h.Failure, s.method, s.url, s.call)
	case h.End:
		return body, io.EOF
	}
	return body, nil
}

// stop gives up the rest of the response and returns the cause of ctx.
func (s *responseStream) stop() error {
	if n, err := makeCall("read", s.head(true), nil); err == nil {
		abi.Forget(n)
	}
	return context.Cause(s.ctx)
}

// Close implements io.Closer. It closes the connection, and a pending Read returns.
func (s *responseStream) Close() error {
	s.cancel(errClosed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.stop()
	}
	s.left = nil
	return nil
}

// head returns the head of the next call.
func (s *responseStream) head(over bool) []byte {
	o := wire.NewObject(nil)
	o.Int("call", int64(s.call))
	o.Int("from", s.from)
	if over {
		o.Bool("close", true)
	}
	if s.at != "" {
		o.Str("at", s.at)
	}
	return o.End()
}
