package local

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
)

// Outside answers the requests of a workflow under test, from a file or with a server.
type Outside struct {
	rules    []rule
	upstream http.Handler        // if nil, the rules answer
	hide     func(string) string // hides the values of secrets

	mu     sync.Mutex
	unmet  map[string]bool // requests that no rule matches
	broken error           // why upstream did not answer
}

// NewOutside returns an outside that answers from the file answers, or with the server at upstream. hide removes
// the values of secrets from messages.
func NewOutside(answers, upstream string, hide func(string) string) (*Outside, error) {
	w := &Outside{unmet: map[string]bool{}, hide: hide}
	switch {
	case answers != "" && upstream != "":
		return nil, fmt.Errorf("--answers and --upstream cannot be combined: %w", flawless.Invalid)
	case upstream != "":
		u, err := url.Parse(upstream)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("--upstream %q is not an address; use a value such as http://127.0.0.1:8080: %w", upstream, flawless.Invalid)
		}
		w.upstream = &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.Header.Set("X-Forwarded-Proto", r.In.URL.Scheme)
				r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.Scheme, u.Host, r.In.Host
			},
			ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
				if r.Context().Err() == nil {
					w.mu.Lock()
					w.broken = fmt.Errorf("the server at %s did not answer: %v: %w", upstream, err, flawless.Invalid)
					w.mu.Unlock()
				}
				rw.WriteHeader(http.StatusBadGateway)
			},
		}
	case answers != "":
		b, err := os.ReadFile(answers)
		if err != nil {
			return nil, fmt.Errorf("reading the answers: %v: %w", err, flawless.Invalid)
		}
		if err := json.Unmarshal(b, &w.rules); err != nil {
			return nil, fmt.Errorf("the answers in %s are invalid: %v; for the format see flawless test --help: %w", answers, err, flawless.Invalid)
		}
		for i, r := range w.rules {
			if _, err := path.Match(r.URL, ""); err != nil || r.URL == "" || r.Status != 0 && (r.Status < 200 || r.Status > 599) {
				return nil, fmt.Errorf("answer %d in %s is invalid: it needs a url with a valid pattern and a status from 200 to 599: %w", i+1, answers, flawless.Invalid)
			}
		}
	}
	return w, nil
}

// ServeHTTP answers a request.
func (w *Outside) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if w.upstream != nil {
		w.upstream.ServeHTTP(rw, r)
		return
	}
	for _, rule := range w.rules {
		if rule.fits(r) {
			rule.answer(rw)
			return
		}
	}
	w.mu.Lock()
	w.unmet[r.Method+" "+w.hide(r.URL.String())] = true
	w.mu.Unlock()
	http.Error(rw, "no answer for this request", http.StatusNotImplemented)
}

// Missing returns an error if a request had no answer.
func (w *Outside) Missing() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q := range w.unmet {
		return fmt.Errorf("no answer for %s; add one to the file of --answers, or give a server with --upstream: %w", q, flawless.Invalid)
	}
	return w.broken
}

// rule is an answer, and the requests that it is for.
type rule struct {
	Method  string            `json:"method"` // empty is any
	URL     string            `json:"url"`
	Status  int               `json:"status"` // 0 is 200
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"` // a string is sent as text, anything else as JSON
}

// fits reports whether a rule is for a request.
func (r *rule) fits(q *http.Request) bool {
	if r.Method != "" && !strings.EqualFold(r.Method, q.Method) {
		return false
	}
	u := q.URL.String()
	ok, _ := path.Match(r.URL, u) // the pattern was checked
	return ok || r.URL == u
}

func (r *rule) answer(w http.ResponseWriter) {
	body := []byte(r.Body)
	var text string
	if json.Unmarshal(body, &text) == nil {
		body = []byte(text)
	} else if len(body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	for name, value := range r.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(cmp.Or(r.Status, http.StatusOK))
	_, _ = w.Write(body)
}

// Secrets parses secrets of the form NAME=VALUE or NAME=@FILE.
func Secrets(texts []string) (out []flawless.OpenSecret, err error) {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok { // do not repeat it: it may be a value
			return nil, fmt.Errorf("--secret must be NAME=VALUE or NAME=@FILE: %w", flawless.Invalid)
		}
		if err := flawless.CheckSecretName(name); err != nil {
			return nil, err
		}
		if file, is := strings.CutPrefix(value, "@"); is {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading secret %s: %v: %w", name, err, flawless.Invalid)
			}
			value = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		}
		if len(value) < flawless.MinSecretValue || len(value) > flawless.MaxSecretValue {
			return nil, fmt.Errorf("secret %s has %d bytes; use %d to %d: %w", name, len(value), flawless.MinSecretValue, flawless.MaxSecretValue, flawless.Invalid)
		}
		out = append(out, flawless.OpenSecret{Secret: flawless.Secret{Name: name, Anywhere: true}, Value: value})
	}
	return out, nil
}
