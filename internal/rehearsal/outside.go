package rehearsal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Request is a request to the simulated server.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Body   string `json:"body,omitempty"`
	Key    string `json:"idempotency_key,omitempty"`

	Status   int    `json:"status"` // of the response
	Response string `json:"response,omitempty"`
}

// outside is a server in this process that stands in for every host, with and without TLS.
type outside struct {
	net.Listener
	handler http.Handler
	hide    func(string) string // masks the values of secrets
	server  *http.Server
	served  sync.WaitGroup
	tls     *tls.Config

	mu   sync.Mutex
	seen []Request
	told map[string]*telling // last response by idempotency key
}

// telling is a response that is complete or in progress.
type telling struct {
	rec   *recorder
	done  chan struct{} // closed when the handler has returned
	again bool          // the next request with the key gets the same response, and is not recorded
}

func newOutside(handler http.Handler, hide func(string) string) (*outside, error) {
	o := &outside{handler: handler, hide: hide}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	o.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"http/1.1"}}
	o.server = &http.Server{Handler: o, ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	if o.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listening on this machine: %w", err)
	}
	o.served.Go(func() { _ = o.server.Serve(o) })
	return o, nil
}

func (o *outside) close() {
	_ = o.server.Close()
	o.served.Wait()
}

// Accept makes outside a net.Listener whose connections may use TLS.
func (o *outside) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sniffed{Conn: c, tls: o.tls}, nil
}

// dial connects to the simulated server, whatever the address.
func (o *outside) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, o.Addr().String())
}

// connKey is the context key of the connection.
type connKey struct{}

// sniffed is a connection that uses TLS if the client does.
type sniffed struct {
	net.Conn
	tls  *tls.Config
	once sync.Once
	in   io.Reader
	over *tls.Conn
}

// start checks whether the first byte is that of a TLS handshake.
func (s *sniffed) start() {
	s.once.Do(func() {
		in := bufio.NewReader(s.Conn)
		s.in = in
		if first, err := in.Peek(1); err == nil && first[0] == 0x16 {
			s.over = tls.Server(&peeked{s.Conn, in}, s.tls)
		}
	})
}

func (s *sniffed) Read(b []byte) (int, error) {
	if s.start(); s.over != nil {
		return s.over.Read(b)
	}
	return s.in.Read(b)
}

func (s *sniffed) Write(b []byte) (int, error) {
	if s.over != nil {
		return s.over.Write(b)
	}
	return s.Conn.Write(b)
}

type peeked struct {
	net.Conn
	in io.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.in.Read(b) }

// ServeHTTP records a request and passes it to the handler.
func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the request was cut off by a crash
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.URL.Scheme, r.URL.Host = "http", r.Host
	if c, ok := r.Context().Value(connKey{}).(*sniffed); ok && c.over != nil {
		r.URL.Scheme = "https"
	}
	key := r.Header.Get("Idempotency-Key")
	if before := o.repeats(key); before != nil {
		before.rec.repeat(w)
		return
	}
	told := &recorder{ResponseWriter: w, status: http.StatusOK}
	now := &telling{rec: told, done: make(chan struct{})}
	defer close(now.done)
	seen := Request{Method: r.Method, URL: o.hide(r.URL.String()), Body: o.hide(string(body)), Key: key}
	o.mu.Lock()
	at := len(o.seen)
	o.seen = append(o.seen, seen)
	if o.told == nil {
		o.told = map[string]*telling{}
	}
	o.told[key] = now
	o.mu.Unlock()
	o.handler.ServeHTTP(told, r)
	o.mu.Lock()
	o.seen[at].Status, o.seen[at].Response = told.status, o.hide(told.body.String())
	o.mu.Unlock()
}

// requests returns the recorded requests.
func (o *outside) requests() []Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Request(nil), o.seen...)
}

// telling returns the response to the last request with the key, or nil.
func (o *outside) telling(key string) *telling {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told[key]
}

// repeats takes the response to repeat for a request with the key, or returns nil.
func (o *outside) repeats(key string) *telling {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.told[key]
	if t == nil || !t.again {
		return nil
	}
	t.again = false
	return t
}

// repeat makes the next request with the key get the previous response again, flush by flush. It returns false if
// there was none or its handler does not return.
func (o *outside) repeat(ctx context.Context, key string) bool {
	t := o.telling(key)
	if t == nil {
		return false
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	t.again = true
	return true
}

// answer returns the recorded request and response with the key.
func (o *outside) answer(key string) (Request, error) {
	for _, r := range o.requests() {
		if r.Key == key && r.Status != 0 {
			return r, nil
		}
	}
	return Request{}, errNotSeen
}

var errNotSeen = errors.New("the simulated server did not receive the request")

// recorder records a response and where it was flushed.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer

	mu    sync.Mutex
	parts []int // offsets in the body of each flush
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

// Flush implements http.Flusher for streaming handlers.
func (r *recorder) Flush() {
	r.mu.Lock()
	r.parts = append(r.parts, r.body.Len()) // before anybody can read it
	r.mu.Unlock()
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// partEnd returns the end of the part that begins at an offset, or 0 if nothing after it has been flushed.
func (r *recorder) partEnd(from int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.parts {
		if end > from {
			return end
		}
	}
	return 0
}

// repeat writes the response again. The handler has returned.
func (r *recorder) repeat(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.Header())
	w.WriteHeader(r.status)
	at, body := 0, r.body.Bytes()
	for _, end := range r.parts {
		_, _ = w.Write(body[at:end])
		_ = http.NewResponseController(w).Flush()
		at = end
	}
	_, _ = w.Write(body[at:])
}

// Unwrap supports http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// String returns the request in one line.
func (r Request) String() string { return fmt.Sprintf("%s %s", r.Method, r.URL) }
