package web

import (
	"fmt"
	"io"
	"net/http"
)

// stream calls a handler whose answer is read while it is written. Closing the body ends the handler and waits for it.
func stream(to http.Handler, r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	w := &streamed{recorder: recorder{header: http.Header{}, status: http.StatusOK}, begun: make(chan struct{}), to: in}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			err := error(nil)
			if p := recover(); p != nil {
				err = fmt.Errorf("the server broke the answer off: %v", p)
			}
			w.WriteHeader(http.StatusOK)
			_ = in.CloseWithError(err) // nil is the end
		}()
		to.ServeHTTP(w, r)
	}()
	<-w.begun
	if err := r.Context().Err(); err != nil {
		_ = out.Close()
		<-done
		return nil, err
	}
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: &streamBody{out, done}, ContentLength: -1, Request: r}, nil
}

// streamed is a response that is read while it is written.
type streamed struct {
	recorder
	begun chan struct{}
	to    *io.PipeWriter
}

// WriteHeader implements http.ResponseWriter.
func (w *streamed) WriteHeader(status int) {
	if w.wrote || status < 200 {
		return
	}
	w.recorder.WriteHeader(status)
	close(w.begun)
}

// Write implements http.ResponseWriter. It returns once the bytes were read.
func (w *streamed) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.to.Write(b)
}

// Flush implements http.Flusher.
func (w *streamed) Flush() { w.WriteHeader(http.StatusOK) }

type streamBody struct {
	*io.PipeReader
	done <-chan struct{}
}

// Close implements io.Closer.
func (b *streamBody) Close() error {
	err := b.PipeReader.Close()
	<-b.done
	return err
}
