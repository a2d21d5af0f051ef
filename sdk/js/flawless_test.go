package js

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless/internal/browsertest"
)

// application is one that answers badly: it breaks streams in the middle of an event, is away, and loses answers.
type application struct {
	mu     sync.Mutex
	asked  []string // ids that readers of events came with
	posts  int
	taken  map[string]int // messages by key
	values []string       // in the order in which they were taken
}

// all is how many events there are.
const all = 24

func (a *application) events(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := r.Header.Get("Last-Event-ID")
	a.asked = append(a.asked, last)
	from := 0
	if n, err := strconv.Atoi(last); err == nil {
		from = n + 1
	}
	switch len(a.asked) % 4 {
	case 0:
		w.WriteHeader(http.StatusBadGateway)
		return
	case 1:
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": alive\n\n")
	for n := from; n < all; n++ {
		if n == from+7 { // cut off before its empty line
			fmt.Fprintf(w, "id: %d\nevent: data\ndata: {\"n\":%d}\n", n, n)
			return
		}
		fmt.Fprintf(w, "id: %d\r\nevent: data\r\ndata: {\"n\":\r\ndata: %d}\r\n\r\n", n, n)
	}
	fmt.Fprint(w, "event: end\ndata: {\"status\":\"completed\",\"output\":\"\\u00fc\"}\n\n")
}

func (a *application) messages(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Type, Key string
		Value     json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Key == "" {
		http.Error(w, "no message", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts++
	if m.Type == "wrong" {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"status":422,"code":"invalid","detail":"it does not fit"}`)
		return
	}
	if a.posts%3 == 0 { // not even received
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if a.taken[m.Key]++; a.taken[m.Key] == 1 {
		a.values = append(a.values, string(m.Value))
	}
	switch a.posts % 6 { // the answer is lost
	case 1:
		w.WriteHeader(http.StatusBadGateway)
		return
	case 4: // Chromium may repeat this request by itself
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestPageMissesAndRepeatsNothing follows a run over connections that break in every way, and sends messages whose answers
// are lost.
func TestPageMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	a := &application{taken: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /run/events", a.events)
	mux.HandleFunc("POST /run/messages", a.messages)
	mux.HandleFunc("GET /flawless.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(Source)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><body><script type="module">
import { connect } from "/flawless.js";
window.got = []; window.states = []; window.sent = 0;
const run = connect("/run", {
	data(d) { got.push(d.n); if (d.n === 3) throw new TypeError("of the page"); },
	end(e) { window.ended = e; },
	state(s) { states.push(s.name); },
});
for (let i = 0; i < 6; i++) run.send("m", i).then(() => sent++);
run.send("wrong").catch((e) => window.refused = e.name + " " + e.status + " " + e.code + ": " + e.message);
run.send("m", 6).then(() => sent++);
</script>`)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	b := browsertest.Open(t)
	b.Go(web.URL)
	b.Until(`window.ended && sent === 7 && window.refused`)
	var got []int
	if err := json.Unmarshal([]byte(b.Eval(`JSON.stringify(got)`)), &got); err != nil {
		t.Fatal(err)
	}
	want := make([]int, all)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page got %v", got)
	}
	if end := b.Eval(`JSON.stringify(ended)`); end != `{"status":"completed","output":"ü"}` {
		t.Errorf("the run ended with %s", end)
	}
	if s := b.Eval(`states.at(0) + " " + states.includes("lost") + " " + states.at(-1)`); s != "connecting true ended" {
		t.Errorf("the connection was %s", s)
	}
	if s := b.Eval(`refused`); s != "Refused 422 invalid: it does not fit" {
		t.Errorf("a message that does not fit: %s", s)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.taken) != 7 || !slices.Equal(a.values, []string{"0", "1", "2", "3", "4", "5", "6"}) {
		t.Errorf("the messages %v were taken under %d keys", a.values, len(a.taken))
	}
	if a.posts < 10 || len(a.asked) < 5 {
		t.Errorf("there were only %d messages and %d connections: nothing went wrong", a.posts, len(a.asked))
	}
}
