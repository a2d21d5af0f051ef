package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestLongLogIsPaged by size and number of records, and the pages that the links lead to have all records.
func TestLongLogIsPaged(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	id := o.paused("mailbox", "1")
	for _, size := range []int{1, 200 << 10, 200 << 10, 200 << 10, 200 << 10, 200 << 10, 200 << 10, 3 << 20, 1, 600 << 10, 600 << 10} {
		o.do("POST", "/api/v1/runs/"+id+"/messages", fmt.Sprintf(`{"type":"a note","value":"%s"}`, strings.Repeat("1", size)))
	}
	for _, limit := range []string{"", "?limit=0", "?limit=3", "?limit=1000"} {
		next := "/api/v1/runs/" + id + "/log" + limit
		seen, pages, large := 0, 0, 0
		for ; next != ""; pages++ {
			resp, err := http.Get(o.url + next)
			if err != nil {
				t.Fatal(err)
			}
			var page []flawless.Record
			body := &strings.Builder{}
			err = json.NewDecoder(io.TeeReader(resp.Body, body)).Decode(&page)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || len(page) == 0 || limit == "?limit=3" && len(page) > 3 {
				t.Fatalf("%s: status %d, %d records, %v", next, resp.StatusCode, len(page), err)
			}
			if body.Len() > maxPage+len(page)+2 {
				if large++; len(page) > 1 {
					t.Errorf("%s: %d records have %d bytes", next, len(page), body.Len())
				}
			}
			for _, rec := range page {
				if rec.Seq != uint64(seen) {
					t.Fatalf("%s: record %d comes after %d", next, rec.Seq, seen-1)
				}
				seen++
			}
			m := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(resp.Header.Get("Link"))
			if next = ""; m != nil {
				next = m[1]
			}
		}
		if seen < 12 || pages < 5 || large != 1 {
			t.Errorf("limit %q: %d records on %d pages, %d of them too large for one", limit, seen, pages, large)
		}
	}
	u, err := url.Parse(o.url)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	c, err := client.New(client.Options{Socket: u.Host, Port: port, NoQUIC: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	seen := uint64(0)
	for rec, err := range c.WholeLog(t.Context(), id) {
		if err != nil || rec.Seq != seen {
			t.Fatalf("got record %d, want %d, %v", rec.Seq, seen, err)
		}
		seen++
	}
	if seen < 12 {
		t.Errorf("the whole log has %d records", seen)
	}
	if status, answer := o.send("GET", "/api/v1/runs/nobody/log", "", ""); status != 404 {
		t.Errorf("the log of an unknown run: %d %s", status, answer)
	}
	if answer := o.do("GET", "/api/v1/runs/"+id+"/log?from=1000", ""); answer != "[]\n" {
		t.Errorf("beyond its end: %q", answer)
	}
}

// TestPageMemoryExcludesNextRecord checks that the memory for a page does not depend on the size of the record after it,
// whether the number of records or their size ends the page. It is not parallel, because it measures the whole
// process.
func TestPageMemoryExcludesNextRecord(t *testing.T) {
	o := newOwned(t)
	id := o.paused("mailbox", "1")
	const large = 3 << 20
	o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"a note","value":"`+strings.Repeat("1", large)+`"}`)
	log, err := o.api.engine.Log(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	from := slices.IndexFunc(log, func(r flawless.Record) bool { return r.Entries[0].Message != nil }) - 1
	for _, limit := range []int{1, 1000} {
		path := fmt.Sprintf("/api/v1/runs/%s/log?from=%d&limit=%d", id, from, limit)
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		o.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		runtime.ReadMemStats(&after)
		want := fmt.Sprintf(`</api/v1/runs/%s/log?from=%d&limit=%d>; rel="next"`, id, from+1, limit)
		if w.Code != http.StatusOK || w.Header().Get("Link") != want || w.Body.Len() > 10_000 {
			t.Fatalf("limit %d: status %d, link %q, %d bytes: %.300s", limit, w.Code, w.Header().Get("Link"), w.Body.Len(), w.Body)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 2*large { // the store may copy it once
			t.Errorf("limit %d: a page of %d bytes before a record of %d bytes took %d bytes", limit, w.Body.Len(), large, took)
		}
	}
}

func TestPromisesArePaged(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	id := o.started("itself", "null")
	o.token(id)
	o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"go","value":"on"}`)
	var names []string
	for len(names) < 2 { // until the run has created both promises
		names = nil
		for next := "/api/v1/runs/" + id + "/promises?limit=1"; next != ""; {
			resp, err := http.Get(o.url + next)
			if err != nil {
				t.Fatal(err)
			}
			var page []flawless.Promise
			err = json.NewDecoder(resp.Body).Decode(&page)
			_ = resp.Body.Close()
			if err != nil || len(page) != 1 {
				t.Fatalf("%s: %+v, %v", next, page, err)
			}
			names = append(names, page[0].Name)
			next, _, _ = strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
		}
	}
	if got := fmt.Sprint(names); got != "[old new]" {
		t.Errorf("all pages: %s", got)
	}
}

// TestBriefLogLeavesOutLongBodies follows the links of a brief log, and gets what was left out from the record itself.
func TestBriefLogLeavesOutLongBodies(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	id := o.paused("mailbox", "1")
	for _, size := range []int{1, 5000, 1} {
		o.do("POST", "/api/v1/runs/"+id+"/messages", fmt.Sprintf(`{"type":"a note","value":"%s"}`, strings.Repeat("1", size)))
	}
	var short []uint64
	pages := 0
	for next := "/api/v1/runs/" + id + "/log?brief=true&limit=2"; next != ""; pages++ {
		resp, err := http.Get(o.url + next)
		if err != nil {
			t.Fatal(err)
		}
		var page []flawless.Record
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil || strings.Contains(string(body), strings.Repeat("1", 2000)) {
			t.Fatalf("%s: %v: %.300s", next, err, body)
		}
		for _, rec := range page {
			if rec.Short {
				short = append(short, rec.Seq)
			}
		}
		m := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(resp.Header.Get("Link"))
		if next = ""; m != nil {
			next = m[1]
		}
	}
	if len(short) != 1 || pages < 2 {
		t.Fatalf("the short records of %d pages are %v", pages, short)
	}
	if whole := o.do("GET", fmt.Sprintf("/api/v1/runs/%s/log?from=%d&limit=1", id, short[0]), ""); !strings.Contains(whole, strings.Repeat("1", 5000)) || strings.Contains(whole, `"short"`) {
		t.Errorf("the record itself: %.300s", whole)
	}
}
