package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/rehearsal"
)

// testOptions is how a workflow is rehearsed.
type testOptions struct {
	input, answers, upstream, start string
	everywhere                      bool
	limit                           time.Duration
	module                          string
	secrets                         []string
}

func (a *app) testCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{Use: "test FILE.wasm|DIR WORKFLOW", Short: "Test a workflow without a server, a network or waiting", Args: cobra.ExactArgs(2),
		Long: `Runs a workflow to its end in this process: a workflow of a module file, or of
the project in a directory. All requests are answered from a file (--answers)
or by your own server (--upstream), no matter which host they are for. Time is
virtual, so a year of sleeping passes at once.

With --crash-everywhere the engine is killed before and after every write and
started again. The command fails if the requests or the output differ from a
run without crashes.

The file of --answers is a JSON list. For each request the first entry that
matches is used. In a url, * matches anything but a slash:
  [{"method": "POST", "url": "https://pay.example/charges", "status": 201,
    "body": {"id": "ch_1"}}]`,
		Example: "  flawless test . checkout --input @order.json --answers answers.json --crash-everywhere",
		RunE: func(c *cobra.Command, args []string) error {
			return a.test(c.Context(), args[0], args[1], o)
		}}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&o.answers, "answers", "", "JSON file with answers to requests")
	f.StringVar(&o.upstream, "upstream", "", "server that answers all requests, such as http://127.0.0.1:8080; it gets the original host in Host and X-Forwarded-Proto")
	f.StringVar(&o.start, "start", "2026-01-01T00:00:00Z", "time at which the run begins")
	f.BoolVar(&o.everywhere, "crash-everywhere", false, "kill the engine before and after every write")
	f.StringVar(&o.module, "module", "", "name of the module, as its code uses it (default: the declared name, or the file name)")
	f.StringArrayVar(&o.secrets, "secret", nil, "NAME=VALUE or NAME=@FILE: a secret, which may be sent to any host in the test and is never shown (repeatable)")
	f.DurationVar(&o.limit, "limit", time.Minute, "time limit for one execution of the workflow")
	return c
}

func (a *app) test(ctx context.Context, module, workflow string, o testOptions) (err error) {
	r := rehearsal.Options{Workflow: workflow, Limit: o.limit, Module: o.module}
	if r.Secrets, err = testSecrets(o.secrets); err != nil {
		return err
	}
	if r.Input, err = a.readInput(o.input); err != nil {
		return err
	}
	if r.Start, err = time.Parse(time.RFC3339, o.start); err != nil {
		return fmt.Errorf("--start %q is not a time; use a value such as 2026-01-01T00:00:00Z: %w", o.start, flawless.Invalid)
	}
	world, err := newWorld(o, effect.Redactor(r.Secrets))
	if err != nil {
		return err
	}
	r.Outside = world
	if info, e := os.Stat(module); e == nil && info.IsDir() {
		if module, err = build(ctx, module, "", a.warn); err != nil {
			return err
		}
	}
	if r.Binary, err = readModule(module); err != nil {
		return err
	}
	if r.Guest, err = localRuntime(ctx); err != nil {
		return err
	}
	defer closing(&err, func() error { return r.Guest.Close(context.WithoutCancel(ctx)) })
	r.File = strings.TrimSuffix(filepath.Base(module), ".wasm")
	if !o.everywhere {
		result, err := rehearsal.Run(ctx, r)
		if err != nil {
			return err
		}
		return a.printRehearsal(masked(result), world)
	}
	b := newBar(a.errs)
	report, err := rehearsal.CrashEverywhere(ctx, r, func(done, all int) { b.show("crashing", float64(done)/float64(max(all, 1))) })
	b.end()
	if err != nil {
		return err
	}
	return a.printCrashes(masked(report), world)
}

func (a *app) printRehearsal(r rehearsal.Result, w *world) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		p := newStory(a.errs)
		for _, rec := range r.Log {
			p.record(rec)
		}
		fmt.Fprintf(a.errs, "%d requests; %v of virtual time\n", len(r.Requests), r.Virtual)
		if len(r.Run.Output) > 0 {
			fmt.Fprintln(a.out, string(r.Run.Output))
		}
	}
	if err := w.missing(); err != nil {
		return err
	}
	return ended(r.Run)
}

func (a *app) printCrashes(r rehearsal.Report, w *world) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Faults {
			fmt.Fprintln(a.out, f)
		}
		fmt.Fprintf(a.out, "%s: killed in %d of %d trials around its %d writes; %d decisions needed; %d differences\n",
			r.Result.Run.Workflow, r.Crashes, r.Trials, r.Writes, r.Asked, len(r.Faults))
	}
	switch err := w.missing(); {
	case err != nil:
		return err
	case len(r.Faults) > 0:
		return fmt.Errorf("%d of %d trials differ from the run without crashes: %w", len(r.Faults), r.Trials, flawless.Diverged)
	}
	return nil
}

// testSecrets understands NAME=VALUE and NAME=@FILE.
func testSecrets(texts []string) (out []flawless.OpenSecret, err error) {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok { // it may be a value alone, so it is not repeated
			return nil, fmt.Errorf("--secret must be NAME=VALUE or NAME=@FILE: %w", flawless.Invalid)
		}
		if err := flawless.CheckSecretName(name); err != nil {
			return nil, err
		}
		if file, is := strings.CutPrefix(value, "@"); is {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading secret %s: %v: %w", name, err, flawless.NotFound)
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

// world is the outside of a rehearsal.
type world struct {
	rules    []rule
	upstream http.Handler        // nil: the rules answer
	hide     func(string) string // the values of secrets

	mu     sync.Mutex
	unmet  map[string]bool // requests without a rule
	broken error           // of the upstream
}

// rule is one answer.
type rule struct {
	Method  string            `json:"method"` // "" is any
	URL     string            `json:"url"`
	Status  int               `json:"status"` // 0 is 200
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"` // a string is taken as text, anything else as JSON
}

func newWorld(o testOptions, hide func(string) string) (*world, error) {
	w := &world{unmet: map[string]bool{}, hide: hide}
	switch {
	case o.answers != "" && o.upstream != "":
		return nil, fmt.Errorf("--answers and --upstream cannot be combined: %w", flawless.Invalid)
	case o.upstream != "":
		u, err := url.Parse(o.upstream)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("--upstream %q is not an address; use a value such as http://127.0.0.1:8080: %w", o.upstream, flawless.Invalid)
		}
		w.upstream = &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.Header.Set("X-Forwarded-Proto", r.In.URL.Scheme)
				r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.Scheme, u.Host, r.In.Host
			},
			ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
				if r.Context().Err() == nil {
					w.mu.Lock()
					w.broken = fmt.Errorf("the server at %s did not answer: %v: %w", o.upstream, err, flawless.Invalid)
					w.mu.Unlock()
				}
				rw.WriteHeader(http.StatusBadGateway)
			},
		}
	case o.answers != "":
		b, err := os.ReadFile(o.answers)
		if err != nil {
			return nil, fmt.Errorf("reading the answers: %v: %w", err, flawless.NotFound)
		}
		if err := json.Unmarshal(b, &w.rules); err != nil {
			return nil, fmt.Errorf("the answers in %s are invalid: %v; for the format see flawless test --help: %w", o.answers, err, flawless.Invalid)
		}
		for i, r := range w.rules {
			if _, err := path.Match(r.URL, ""); err != nil || r.URL == "" || r.Status != 0 && (r.Status < 200 || r.Status > 599) {
				return nil, fmt.Errorf("answer %d in %s is invalid: it needs a url with a valid pattern and a status from 200 to 599: %w", i+1, o.answers, flawless.Invalid)
			}
		}
	}
	return w, nil
}

// ServeHTTP answers a request.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
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

// missing returns an error where a request had no answer.
func (w *world) missing() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q := range w.unmet {
		return fmt.Errorf("no answer for %s; add one to the file of --answers, or give a server with --upstream: %w", q, flawless.Invalid)
	}
	return w.broken
}

func (r *rule) fits(q *http.Request) bool {
	if r.Method != "" && !strings.EqualFold(r.Method, q.Method) {
		return false
	}
	u := q.URL.String()
	ok, _ := path.Match(r.URL, u) // it was checked
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
