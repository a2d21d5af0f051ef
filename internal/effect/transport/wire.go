package transport

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// wire is a connection below TLS. It records when the first byte of the current exchange is written.
type wire struct {
	net.Conn
	first atomic.Int64 // when the first byte was written, Unix nanoseconds; 0 is not yet
	ended atomic.Bool  // the peer closed it; with TLS above, that may have cut the response off

	sending func(first bool) error // see Request.Sending; set while there is no exchange
	refused atomic.Pointer[error]  // by sending
}

// maxWrite is the size of a write after which Request.Sending is asked again.
const maxWrite = 32 << 10

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		w.ended.Store(true)
	}
	return n, err
}

func (w *wire) Write(p []byte) (n int, err error) {
	if w.sending == nil {
		return w.write(p)
	}
	for {
		if err := w.sending(w.first.Load() == 0); err != nil {
			w.refused.CompareAndSwap(nil, &err)
			w.cutOff()
			return n, err
		}
		m, err := w.write(p[:min(len(p), maxWrite)])
		n, p = n+m, p[m:]
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (w *wire) write(p []byte) (int, error) {
	if w.first.Load() != 0 {
		return w.Conn.Write(p)
	}
	at := time.Now().UnixNano()
	n, err := w.Conn.Write(p)
	if n > 0 {
		w.first.CompareAndSwap(0, at)
	}
	return n, err
}

// cutOff closes the connection. The system drops what it has not sent.
func (w *wire) cutOff() {
	if c, ok := w.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = c.SetLinger(0)
	}
	_ = w.Conn.Close()
}

// alive reports whether the peer has neither closed the idle connection nor sent anything.
func (w *wire) alive() bool {
	if quiet, known := peek(w.Conn); known {
		return quiet
	}
	// If the system cannot tell, read for a moment.
	if w.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	_, err := w.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
