//go:build unix

package main

import (
	"io"
	"net"
	"sync"
)

// wire is the way of a node to the database. While it is cut, no byte passes, and connections stay open as they do when a
// cable is unplugged; new ones are accepted and hear nothing.
type wire struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	whole chan struct{} // closed while it is not cut
	open  map[net.Conn]bool
}

func newWire(to string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{l: l, to: to, whole: make(chan struct{}), open: map[net.Conn]bool{}}
	close(w.whole)
	go w.serve()
	return w, nil
}

func (w *wire) port() int { return w.l.Addr().(*net.TCPAddr).Port }

func (w *wire) serve() {
	for {
		near, err := w.l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer near.Close()
			w.pass()
			far, err := net.Dial("tcp", w.to)
			if err != nil {
				return
			}
			defer far.Close()
			w.mu.Lock()
			w.open[near], w.open[far] = true, true
			w.mu.Unlock()
			go func() {
				defer near.Close()
				w.copy(near, far)
			}()
			w.copy(far, near)
			w.mu.Lock()
			delete(w.open, near)
			delete(w.open, far)
			w.mu.Unlock()
		}()
	}
}

// copy passes bytes on while the wire is whole.
func (w *wire) copy(to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		w.pass()
		if _, broken := to.Write(b[:n]); err != nil || broken != nil {
			return
		}
	}
}

// pass waits until the wire is whole.
func (w *wire) pass() {
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	<-whole
}

// cut lets nothing pass until mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = make(chan struct{})
}

// mend lets bytes pass again. If reset, the connections break instead: what lay in them is lost.
func (w *wire) mend(reset bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reset {
		for c := range w.open {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}
	close(w.whole)
}

func (w *wire) close() {
	_ = w.l.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}
