package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestListsArePaged checks that every operation that answers with a list has a limit, because lists grow.
func TestListsArePaged(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	lists := 0
	for path, item := range a.huma.OpenAPI().Paths {
		if item.Get == nil || item.Get.Responses["200"] == nil || item.Get.Responses["200"].Content["application/json"] == nil {
			continue
		}
		if s := item.Get.Responses["200"].Content["application/json"].Schema; s == nil || s.Type != huma.TypeArray {
			continue
		}
		lists++
		if !slices.ContainsFunc(item.Get.Parameters, func(p *huma.Param) bool { return p.Name == "limit" && p.Schema.Maximum != nil }) {
			t.Errorf("GET %s answers with a list, but has no limit", path)
		}
	}
	if lists < 5 {
		t.Errorf("only %d operations answer with a list", lists)
	}
}

// TestClientReadsAllPages from a server with two entries per page.
func TestClientReadsAllPages(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	h := handlerFor(t.Context(), t, e, slog.New(slog.DiscardHandler))
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "limit=1000", "limit=2", 1)
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := client.New(client.Options{Socket: strings.TrimPrefix(s.URL, "http://"), NoQUIC: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var want []string
	for n := range 6 {
		if all, err := c.Limits(t.Context()); err != nil || len(all) != n {
			t.Fatalf("%d limits: %+v, %v", n, all, err)
		}
		host := fmt.Sprintf("host-%d.example:8%d", n, n)
		if _, err := e.Limits().Set(t.Context(), flawless.Limit{Host: host, Count: 1, PeriodMS: 1000}); err != nil {
			t.Fatal(err)
		}
		want = append(want, host)
	}
	asked.Store(0)
	all, err := c.Limits(t.Context())
	var got []string
	for _, l := range all {
		got = append(got, l.Host)
	}
	if err != nil || !slices.Equal(got, want) || asked.Load() != 3 {
		t.Errorf("%d requests gave %v, %v", asked.Load(), got, err)
	}
}

func TestPageContinuesPreviousPage(t *testing.T) {
	t.Parallel()
	name := func(s string) string { return s }
	all := []string{"a", "b&c", "d", "e"}
	for _, row := range []struct{ from, page, link string }{
		{"", "a b&c", `</api/v1/things?from=d&limit=2>; rel="next"`},
		{"b&c", "b&c d", `</api/v1/things?from=e&limit=2>; rel="next"`},
		{"c", "d e", ""}, // the first name of the page was removed
		{"e", "e", ""},
		{"f", "", ""},
	} {
		p := byName("/things", all, PageQuery{From: row.from, Limit: 2}, name)
		if got := strings.Join(p.Body, " "); got != row.page || p.Link != row.link || p.Body == nil {
			t.Errorf("from %q: %q, %q, want %q, %q", row.from, got, p.Link, row.page, row.link)
		}
	}
	if p := byName("/things", []string{"a", "b&c"}, PageQuery{Limit: 1}, name); p.Link != `</api/v1/things?from=b%26c&limit=1>; rel="next"` {
		t.Errorf("a name that has to be escaped: %s", p.Link)
	}
}
