package server

import (
	"io"
	"net/http"
	"time"
)

// Pace is how fast the other side has to be. A side that is slower loses its request, so that nobody
// holds a connection by sending or reading one byte at a time. The zero value is the default.
type Pace struct {
	Grace time.Duration // in which the rate has to be reached, and a piece of an answer taken; 0 is 30 s
	Rate  int64         // bytes a second of a body; 0 is 1 KiB
}

// piece is how much of an answer is written under one deadline.
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

// keep has all requests keep the pace, over every protocol.
func (p Pace) keep(next http.Handler) http.Handler {
	p = p.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// What the handler leaves of it the server reads, under the deadline that is set then.
			body := &pacedBody{ReadCloser: r.Body, pace: p, control: control}
			body.begin()
			r.Body = body
		}
		out := &pacedWriter{w, control, p.Grace}
		if r.ProtoMajor == 1 {
			out.limit() // for what the server writes by itself: 100 Continue
		}
		defer out.limit() // for what has not been flushed
		next.ServeHTTP(out, r)
	})
}

// pacedBody moves the deadline for reading on whenever as much has arrived as the time before it
// demands. So neither a slow body nor one that stalls after a quick beginning gets far.
type pacedBody struct {
	io.ReadCloser
	pace    Pace
	control *http.ResponseController
	left    int64 // to arrive before the deadline moves
}

func (b *pacedBody) begin() {
	b.left = int64(b.pace.Grace.Seconds() * float64(b.pace.Rate))
	_ = b.control.SetReadDeadline(time.Now().Add(b.pace.Grace))
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF: // from here on reading only tells whether the client is there
		_ = b.control.SetReadDeadline(time.Time{})
	case err == nil && b.left <= 0:
		b.begin()
	}
	return n, err
}

// pacedWriter writes in pieces, each with a deadline of its own.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	grace   time.Duration
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) limit() { _ = w.control.SetWriteDeadline(time.Now().Add(w.grace)) }

// free takes the deadline back. HTTP/2 ends a stream whose deadline passes, written to or not.
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

// FlushError is what http.ResponseController calls.
func (w *pacedWriter) FlushError() error {
	w.limit()
	defer w.free()
	return w.control.Flush()
}
