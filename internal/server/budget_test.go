package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/budget"
)

// TestReadersShareMemory checks that only a few pages are encoded at a time, and that the total size of long pages that
// are not sent yet is limited.
func TestReadersShareMemory(t *testing.T) {
	t.Parallel()
	alone(t)
	o := newOwned(t)
	id := o.paused("mailbox", "1")
	o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"a note","value":"`+strings.Repeat("1", 3<<20)+`"}`)
	limits := o.api.budget
	get := func(ctx context.Context, w http.ResponseWriter, query string) {
		o.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/runs/"+id+"/log"+query, nil))
	}
	from := ""
	for next := "/api/v1/runs/" + id + "/log"; next != "" && from == ""; { // until the page with the long record
		w := httptest.NewRecorder()
		o.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, next, nil))
		if w.Body.Len() > 2*maxPage {
			from = strings.TrimPrefix(next, "/api/v1/runs/"+id+"/log")
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(w.Header().Get("Link"), "<"), ">")
	}
	if from == "" {
		t.Fatal("there is no long page")
	}

	var leave []func()
	for range budget.MaxEncoders {
		one, err := limits.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, one)
	}
	w, done := httptest.NewRecorder(), make(chan bool)
	go func() {
		get(t.Context(), w, from)
		close(done)
	}()
	for waits := false; !waits; {
		select {
		case <-done:
			t.Fatalf("a page was encoded while %d others were", budget.MaxEncoders)
		default:
			stacks := make([]byte, 1<<20)
			waits = strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*Budget).Enter(")
		}
	}
	for _, one := range leave {
		one()
	}
	if <-done; w.Code != 200 {
		t.Errorf("a page that had to wait: %d %.300s", w.Code, w.Body)
	}

	slow := &held{ResponseRecorder: httptest.NewRecorder(), budget: limits}
	if get(t.Context(), slow, from); slow.Code != 200 || slow.while < 3<<20 || slow.making || used(limits) != 0 {
		t.Errorf("status %d; a long page counts as %d bytes (and as being encoded: %t) while it is sent, and as %d bytes afterwards", slow.Code, slow.while, slow.making, used(limits))
	}

	written, err := limits.Keep(budget.MaxLong - 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if get(t.Context(), w, from); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "try again in a moment") {
		t.Errorf("a long page beyond the limit: %d %.300s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	if get(t.Context(), w, "?limit=1"); w.Code != 200 {
		t.Errorf("a short page: %d %.300s", w.Code, w.Body)
	}
	written()
	w = httptest.NewRecorder()
	if get(t.Context(), w, from); w.Code != 200 {
		t.Errorf("after memory was freed: %d %.300s", w.Code, w.Body)
	}
	alone, err := limits.Keep(2 * budget.MaxLong) // otherwise it could never be read
	if err != nil {
		t.Fatal(err)
	}
	alone()
}

// held records how much is counted while a page is written.
type held struct {
	*httptest.ResponseRecorder
	budget *budget.Budget
	while  int
	making bool
}

// Write implements http.ResponseWriter.
func (h *held) Write(b []byte) (int, error) {
	encoding, long := h.budget.Used()
	h.while, h.making = max(h.while, long), encoding > 0
	return h.ResponseRecorder.Write(b)
}

func used(b *budget.Budget) int {
	_, long := b.Used()
	return long
}
