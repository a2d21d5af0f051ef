// Command wizard is the web application of a booking wizard. It keeps no state: each booking is a run of
// booking/main.go, and this program passes a narrow part of the engine on to browsers, which never see its token.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	js "github.com/flawless-engine/flawless/sdk/js"
)

//go:embed page.html
var page []byte

var (
	addr = flag.String("addr", "localhost:8090", "where the application listens")
	hold = flag.Int("hold", 900, "seconds for which a price is held")
)

func main() {
	flag.Parse()
	base, err := url.Parse(cmp.Or(os.Getenv("FLAWLESS_URL"), "http://localhost:27288"))
	if err != nil {
		log.Fatal("FLAWLESS_URL: ", err)
	}
	a := &app{base: base, token: os.Getenv("FLAWLESS_TOKEN")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /{$}", a.begin)
	mux.HandleFunc("GET /b/{id}", serve("text/html; charset=utf-8", page))
	mux.HandleFunc("GET /flawless.js", serve("text/javascript", js.Source))
	mux.Handle("GET /b/{id}/events", a.events())
	mux.HandleFunc("POST /b/{id}/messages", a.message)
	mux.HandleFunc("GET /b/{id}/as/{person}", a.login)
	fmt.Fprintf(os.Stderr, "the wizard is at http://%s\n", *addr)
	// Pages of other sites cannot send messages for the person who is logged in here.
	log.Fatal(http.ListenAndServe(*addr, http.NewCrossOriginProtection().Handler(mux)))
}

// app knows where the engine is. It may be used concurrently.
type app struct {
	base  *url.URL
	token string
}

// run returns the path of a booking's run in the API. Only bookings can be reached: the id of each begins so.
func run(id, rest string) string { return "/api/v1/runs/" + url.PathEscape("booking-"+id) + rest }

// home shows a button that begins a booking. Its id is in the page, so a button that is pressed twice begins one.
func (a *app) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>Book a trip</title><form method="post"><input type="hidden" name="id" value=%q><button>Book a trip</button></form>`, rand.Text())
}

func (a *app) begin(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	input := map[string]any{"traveller": person(r), "hold": *hold}
	start := map[string]any{"id": "booking-" + id, "module": "booking", "workflow": "booking", "input": input}
	if !a.post(w, r, "/api/v1/runs", start) {
		return
	}
	http.Redirect(w, r, "/b/"+url.PathEscape(id), http.StatusSeeOther)
}

// events passes on the data of a run, as it changes.
func (a *app) events() http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = a.base.Scheme, a.base.Host
		r.Out.URL.Path, r.Out.URL.RawPath = run(r.In.PathValue("id"), "/data/events"), ""
		r.Out.Host, r.Out.URL.RawQuery = "", ""
		r.Out.Header = http.Header{} // neither cookies nor the origin are the engine's business
		a.authorize(r.Out.Header)
		if last := r.In.Header.Get("Last-Event-ID"); last != "" {
			r.Out.Header.Set("Last-Event-ID", last)
		}
	}}
}

// message passes on a message, if the person may send it. The page has given it a key, so the engine accepts it once.
func (a *app) message(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
		Key   string          `json:"key"`
		Who   string          `json:"who"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.Who = person(r)
	switch {
	case m.Type == "answer":
	case m.Type == "decide" && m.Who == boss:
		var d map[string]any
		if err := json.Unmarshal(m.Value, &d); err != nil || d == nil {
			http.Error(w, "a decision is an object", http.StatusBadRequest)
			return
		}
		d["by"] = m.Who // and not who the page says it is
		m.Value, _ = json.Marshal(d)
	default:
		http.Error(w, m.Who+" may not send this", http.StatusForbidden)
		return
	}
	if a.post(w, r, run(r.PathValue("id"), "/messages"), m) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// boss is who approves expensive trips.
const boss = "bob"

// person returns who is logged in. Your application has its own way to know.
func person(r *http.Request) string {
	if c, err := r.Cookie("person"); err == nil && c.Value == boss {
		return boss
	}
	return "ann"
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "person", Value: r.PathValue("person"), Path: "/", SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/b/"+url.PathEscape(r.PathValue("id")), http.StatusSeeOther)
}

// post sends JSON to the engine. If the engine is away or refuses it, post writes that answer and returns false.
func (a *app) post(w http.ResponseWriter, r *http.Request, path string, body any) bool {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return false
	}
	at, err := a.base.Parse(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	// What the browser has sent is passed on even if the browser goes away now.
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), http.MethodPost, at.String(), bytes.NewReader(b))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	a.authorize(req.Header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, "the engine does not answer: "+err.Error(), http.StatusBadGateway)
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 {
		return true
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
	return false
}

func (a *app) authorize(h http.Header) {
	if a.token != "" {
		h.Set("Authorization", "Bearer "+a.token)
	}
}

func serve(kind string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write([]byte(strings.ReplaceAll(string(body), "{{person}}", person(r))))
	}
}
