package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
)

// TestAcceptedNamesCanBeAddressed checks that every name that the rules accept passes through the router unchanged, in
// every path.
func TestAcceptedNamesCanBeAddressed(t *testing.T) {
	t.Parallel()
	m := &recorded{}
	newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), m)
	parameter := regexp.MustCompile(`{(\w+)}`)
	rules := map[string]func(string) error{
		"/runs/{id}":      flawless.CheckID,
		"/workflow/{id}":  flawless.CheckID,
		"/modules/{name}": func(n string) error { return flawless.CheckName("a name", n) },
		"/nodes/{name}":   func(n string) error { return flawless.CheckName("a name", n) },
		"/schedules/":     func(n string) error { return flawless.CheckName("a name", n) },
		"/states/":        flawless.CheckStateName,
		"/views/":         func(n string) error { v := flawless.View{Name: n, Page: "runs"}; return v.Check() },
		"/secrets/":       flawless.CheckSecretName,
		"/limits/":        func(h string) error { return (&flawless.Limit{Host: h, Count: 1, PeriodMS: 1}).Check() },
		"/hosts/":         func(h string) error { return (&flawless.Host{Host: h}).Check() },
		"/start/":         flawless.CheckWorkflowName,
		"/send-msg/":      flawless.CheckID,
		"/promises/": func(id string) error {
			_, _, _, err := flawless.ParsePromiseToken(flawless.PromiseToken("secret", id, 1))
			return err
		},
	}
	router := http.NewServeMux()
	type route struct {
		method, path string
		check        func(string) error
	}
	var routes []route
	for _, pattern := range m.patterns {
		names := parameter.FindAllStringSubmatch(pattern, -1)
		router.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Pattern", pattern)
			for _, n := range names {
				_, _ = io.WriteString(w, r.PathValue(n[1])+"\n")
			}
		})
		if len(names) == 0 {
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		at := route{method: method, path: path}
		for part, check := range rules {
			if strings.Contains(path, part) {
				at.check = check
			}
		}
		if at.check == nil {
			t.Fatalf("the test has no rule for the names in %s", pattern)
		}
		routes = append(routes, at)
	}
	s := httptest.NewServer(router)
	defer s.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	odd := rapid.SampledFrom([]string{".", "..", "...", "/", "//", "/..", "/../x", "%", "%2F", "%2e%2e", "?", "#", ";", ":", "\\", " ", "+", "&", "=", "@", "é", "日", "\x00", "\n", "\u200b", "x", "start", "events", "~"})
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(odd, 1, 4).Draw(t, "parts"), "") + rapid.SampledFrom([]string{"", "a", "b-c"}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(name, rapid.StringN(1, 20, 100)).Draw(t, "name")
		at := rapid.SampledFrom(routes).Draw(t, "route")
		if at.check(text) != nil {
			return
		}
		if strings.Contains(at.path, "/promises/") {
			text = flawless.PromiseToken("secret", text, 1)
		}
		path := parameter.ReplaceAllLiteralString(at.path, url.PathEscape(text))
		if strings.Contains(at.path, "/calls/{n}") {
			path = strings.Replace(path, "/calls/"+url.PathEscape(text), "/calls/1", 1)
		}
		req, err := http.NewRequest(at.method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		first, _, _ := strings.Cut(string(b), "\n")
		if err != nil || resp.Header.Get("Pattern") != at.method+" "+at.path || first != text {
			t.Fatalf("%q in %s %s: status %d of %q, which got %q, %v", text, at.method, at.path, resp.StatusCode, resp.Header.Get("Pattern"), b, err)
		}
	})
}
