package listen

import (
	"io"
	"net/http"
	"time"
)

// Pace is the minimum speed of clients. A slower client loses its request, so that no client can hold a connection
// by sending or reading one byte at a time. The zero value is the default.
type Pace struct {
	Grace time.Duration // time to reach the rate, and to read one piece of an answer; 0 is 30 s
	Rate  int64         // bytes per second of a body; 0 is 1 KiB
}

// piece is the number of bytes of an answer that are written under one deadline.
const piece = 16 << 10

func (p Pace) withDefaults() Pace {
	if p.Grace == 0 {
		p.Grace = 30 * time.Second
	}
	if p.Rate == 0 {
		p.Rate = 1 << 10
	}
	return p
}

// Enforce returns a handler that ends requests which are slower than the pace, over every protocol.
func (p Pace) Enforce(next http.Handler) http.Handler {
	p = p.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			body := &pacedBody{ReadCloser: r.Body, pace: p, control: control}
			body.begin()
			r.Body = body
			defer body.leave()
		}
		out := &pacedWriter{w, control, p.Grace}
		if r.ProtoMajor == 1 {
			out.limit() // for 100 Continue, which the server writes by itself
		}
		defer out.limit() // for what is not flushed yet
		next.ServeHTTP(out, r)
	})
}

// pacedBody extends the read deadline whenever enough bytes for the time before it have arrived. So it stops both
// slow bodies and those that stall after a fast start.
type pacedBody struct {
	io.ReadCloser
	pace    Pace
	control *http.ResponseController
	left    int64 // bytes to arrive before the deadline is extended
	ended   bool
}

func (b *pacedBody) begin() {
	b.left = int64(b.pace.Grace.Seconds() * float64(b.pace.Rate))
	_ = b.control.SetReadDeadline(time.Now().Add(b.pace.Grace))
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF: // from now on, the server reads only to notice that the client disconnects
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	case err == nil && b.left <= 0:
		b.begin()
	}
	return n, err
}

// leave shortens the deadline for what the handler has not read: over HTTP/1.1 the server reads some of it before it
// answers, and there must be time left for the answer.
func (b *pacedBody) leave() {
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Now().Add(b.pace.Grace / 4))
	}
}

// pacedWriter writes in pieces, each with its own deadline.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	grace   time.Duration
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) limit() { _ = w.control.SetWriteDeadline(time.Now().Add(w.grace)) }

// free removes the deadline. HTTP/2 resets a stream at its deadline even if nothing is being written.
func (w *pacedWriter) free() { _ = w.control.SetWriteDeadline(time.Time{}) }

func (w *pacedWriter) Write(b []byte) (int, error) {
	defer w.free()
	written := 0
	for {
		w.limit()
		n, err := w.ResponseWriter.Write(b[:min(len(b), piece)])
		written += n
		if b = b[min(len(b), piece):]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// FlushError implements the interface of http.ResponseController.
func (w *pacedWriter) FlushError() error {
	w.limit()
	defer w.free()
	return w.control.Flush()
}
