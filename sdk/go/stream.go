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

// Stream hands the response over when its head has come. [Response.Stream] then has the body as it comes, for
// APIs that answer bit by bit, such as server-sent events of a language model. [Response.Body] is nil.
//
// Each part that is read is in the run's log before the code sees it, and a replay reads the same parts. The
// engine reads ahead no more than 64 KiB. With the head the call is answered: what breaks off behind it is an
// error of kind [KindBroken] at that place, and nothing is sent again, also where the call is idempotent or has
// a [Retry]. A restart of the server breaks a stream. [Timeout] then limits the time until the head, and the
// time to each next part; [Limit] counts all parts together. A response whose status is not 2xx is handed over
// as a whole, through the same reader.
//
// [GetJSON] and [PostJSON] take no notice of it.
func Stream() Option { return optionFunc(func(o *options) { o.stream = true }) }

// wholly is the opposite of [Stream].
func wholly() Option { return optionFunc(func(o *options) { o.stream = false }) }

// whole makes the body of a response that was not streamed a stream, for code that reads one.
func (r *Response) whole() {
	r.Stream, r.Body = io.NopCloser(bytes.NewReader(r.Body)), nil
}

// responseStream reads the response to a call as it comes. It reads in one goroutine at a time.
type responseStream struct {
	ctx    context.Context // ends with that of the call, and when it is closed
	cancel context.CancelCauseFunc
	call   int
	method string
	url    string
	at     string // the site of the call

	mu   sync.Mutex
	from int64  // bytes that came
	left []byte // of the last part
	err  error  // once there is nothing more
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

// next waits for the next part. The error is that of the read behind it.
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

// stop gives the rest of the response up, and returns why ctx has ended.
func (s *responseStream) stop() error {
	if n, err := makeCall("read", s.head(true), nil); err == nil {
		abi.Forget(n)
	}
	return context.Cause(s.ctx)
}

// Close implements io.Closer. A read that waits returns, and the connection is closed.
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

// head is the head of the next call.
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
