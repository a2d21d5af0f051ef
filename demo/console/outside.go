package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// outside is the world that the shop calls: a proxy for the engine, behind which every host is a function below. What breaks
// depends on what is ordered, so that it can be had on purpose.
type outside struct {
	proxy   net.Listener
	servers sync.WaitGroup
	conns   chan net.Conn
	over    chan struct{}
}

// Things that break.
const (
	doubtful = "piano" // the payment service hangs up, and nobody knows whether it has charged
	declined = "yacht" // the card is declined
	stranded = "anvil" // the carrier hangs up each time
	bouncing = "nobody@example.com"
	nowhere  = "Atlantis" // has no hotels
	sunken   = "Pompeii"  // has no hotels, and its flights cannot be cancelled
)

// newOutside starts the world.
func newOutside() (*outside, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &outside{proxy: l, conns: make(chan net.Conn), over: make(chan struct{})}
	o.servers.Go(func() { _ = http.Serve(l, http.HandlerFunc(o.tunnel)) })
	o.servers.Go(func() { _ = http.Serve(o, http.HandlerFunc(o.serve)) })
	return o, nil
}

// URL returns the address of the proxy.
func (o *outside) URL() string { return "http://" + o.proxy.Addr().String() }

// tunnel connects the engine with a host.
func (o *outside) tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || services[strings.TrimSuffix(r.Host, ":80")] == nil {
		http.Error(w, "there is no such host", http.StatusBadGateway)
		return
	}
	conn, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connected\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	select {
	case o.conns <- tunnelled{conn, rest.Reader}:
	case <-o.over:
		_ = conn.Close()
	}
}

// tunnelled is a connection of which the beginning may have been read already.
type tunnelled struct {
	net.Conn
	rest *bufio.Reader
}

func (t tunnelled) Read(p []byte) (int, error) { return t.rest.Read(p) }

// Accept returns the next connection that came through the proxy.
func (o *outside) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.over:
		return nil, net.ErrClosed
	}
}

// Close stops the world.
func (o *outside) Close() error {
	close(o.over)
	err := o.proxy.Close()
	o.servers.Wait()
	return err
}

// Addr returns the address of the proxy.
func (o *outside) Addr() net.Addr { return o.proxy.Addr() }

func (o *outside) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	time.Sleep(time.Duration(20+rand.IntN(180)) * time.Millisecond)
	services[r.Host](w, r, string(body))
}

// hangUp closes the connection without an answer.
func hangUp() { panic(http.ErrAbortHandler) }

var services = map[string]func(w http.ResponseWriter, r *http.Request, body string){
	"stock.example": created("reservation"),
	"pay.example": func(w http.ResponseWriter, r *http.Request, body string) {
		switch {
		case strings.Contains(body, doubtful):
			hangUp()
		case strings.Contains(body, declined):
			refuse(w, http.StatusPaymentRequired, "card_declined", "the card is declined: insufficient funds")
		default:
			created("charge")(w, r, body)
		}
	},
	"carrier.example": func(w http.ResponseWriter, r *http.Request, body string) {
		if strings.Contains(r.URL.Path, stranded) {
			hangUp()
		}
		time.Sleep(400 * time.Millisecond)
		created("parcel")(w, r, body)
	},
	"mail.example": func(w http.ResponseWriter, r *http.Request, body string) {
		if strings.Contains(body, bouncing) {
			hangUp()
		}
		created("message")(w, r, body)
	},
	"flights.example": func(w http.ResponseWriter, r *http.Request, body string) {
		if r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, sunken) {
			refuse(w, http.StatusInternalServerError, "down", "bookings cannot be cancelled at the moment")
			return
		}
		created("flight")(w, r, body)
	},
	"hotels.example": func(w http.ResponseWriter, r *http.Request, body string) {
		if strings.Contains(body, nowhere) || strings.Contains(body, sunken) {
			refuse(w, http.StatusConflict, "full", "there is no room")
			return
		}
		created("room")(w, r, body)
	},
	"crm.example": func(w http.ResponseWriter, r *http.Request, _ string) {
		answer(w, http.StatusOK, map[string]any{"page": r.URL.Query().Get("page"), "customers": []string{"Ann", "Bob", "Chloé", "Dieter"}})
	},
	"files.example": func(w http.ResponseWriter, r *http.Request, _ string) {
		switch r.URL.Path {
		case "/prices.json":
			answer(w, http.StatusOK, []map[string]string{{"id": "1", "name": "book"}, {"id": "2", "name": "lamp"}})
		case "/empty.json":
			answer(w, http.StatusOK, []string{})
		case "/anonymous.json":
			answer(w, http.StatusOK, []map[string]string{{"name": "book"}})
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<h1>Maintenance</h1>")
		}
	},
}

// created returns a service that does what it is asked for.
func created(what string) func(w http.ResponseWriter, r *http.Request, body string) {
	return func(w http.ResponseWriter, _ *http.Request, _ string) {
		answer(w, http.StatusCreated, map[string]string{"id": fmt.Sprintf("%s-%06d", what, rand.IntN(1e6))})
	}
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, map[string]string{"code": code, "message": text})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
