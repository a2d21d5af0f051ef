package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// several are servers on one database. Only the first owns anything at first.
type several struct {
	*testing.T
	st  *store.Store
	all []*one
}

// one is one of several servers.
type one struct {
	*engine.Engine
	peer *peer.Peer
	web  *httptest.Server
	row  string

	asked atomic.Int64           // requests that others have passed on
	cut   atomic.Pointer[cutter] // breaks the connections of requests that others pass on
}

// cutter breaks connections: after the request was carried out, or before.
type cutter struct {
	times  atomic.Int64
	before bool
}

func newSeveral(t *testing.T, n int) *several {
	t.Helper()
	dir, err := guests()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	s := &several{T: t}
	kv := mem.New()
	for i := range n {
		rt, err := guest.NewRuntime(t.Context(), guest.Options{CacheDir: filepath.Join(dir, "compiled")})
		if err != nil {
			t.Fatal(err)
		}
		if s.st, err = store.Open(t.Context(), kv); err != nil {
			t.Fatal(err)
		}
		o := &one{row: fmt.Sprint("node", i)}
		o.peer = nodeOf(t, s.st, o.row)
		claim := store.ByForce()
		if i == 0 {
			claim = nil
		}
		o.Engine, err = engine.Open(t.Context(), engine.Options{Store: s.st, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Owner: o.row, Claim: claim, Valid: func() bool { return true }, Peers: o.peer})
		if err != nil {
			t.Fatal(err)
		}
		clients, servers := HandlerOf(t.Context(), o.Engine, slog.New(slog.DiscardHandler), Cluster{Peer: o.peer, Patience: 5 * time.Second})
		o.peer.Serve(peer.Service{Engine: o.Engine, API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			o.asked.Add(1)
			c := o.cut.Load()
			if c == nil || c.times.Add(-1) < 0 {
				servers.ServeHTTP(w, r)
				return
			}
			if !c.before {
				servers.ServeHTTP(httptest.NewRecorder(), r)
			}
			panic(http.ErrAbortHandler)
		})})
		o.web = httptest.NewServer(clients)
		t.Cleanup(func() {
			o.web.Close()
			o.Kill()
			_ = rt.Close(context.Background())
		})
		s.all = append(s.all, o)
	}
	if _, _, err := s.all[0].AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// move gives all shards of one server to another one.
func (s *several) move(from, to int) {
	s.Helper()
	all := append(store.AllShards(), store.ShardOfCaps)
	if err := s.all[from].Release(s.Context(), all...); err != nil {
		s.Fatal(err)
	}
	s.take(to)
}

// take lets a server claim everything.
func (s *several) take(to int) {
	s.Helper()
	if err := s.all[to].Gain(s.Context(), store.ByForce(append(store.AllShards(), store.ShardOfCaps)...)); err != nil {
		s.Fatal(err)
	}
}

// lose breaks the connections of the next requests that a server gets from others.
func (o *one) lose(times int, before bool) {
	c := &cutter{before: before}
	c.times.Store(int64(times))
	o.cut.Store(c)
}

// send sends a request to a server.
func (s *several) send(to int, method, path, body string, headers ...string) (int, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.all[to].web.URL+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// do is send for a request that must succeed.
func (s *several) do(to int, method, path, body string) string {
	s.Helper()
	status, answer := s.send(to, method, path, body)
	if status >= 300 {
		s.Fatalf("%s %s at node %d: status %d, %s", method, path, to, status, answer)
	}
	return answer
}

// runs returns how many runs there are.
func (s *several) runs() int {
	s.Helper()
	all, _, err := s.all[0].Runs(s.Context(), flawless.Filter{Limit: 1000})
	if err != nil {
		s.Fatal(err)
	}
	return len(all)
}

func (s *several) messages(id string) int {
	s.Helper()
	log, err := s.all[0].Log(s.Context(), id, 0, 0)
	if err != nil {
		s.Fatal(err)
	}
	n := 0
	for _, rec := range log {
		for _, x := range rec.Entries {
			if x.Message != nil {
				n++
			}
		}
	}
	return n
}

const mailbox = `{"module":"guest","workflow":"want","input":[{"Receive":"go"}],"id":%q}`

// TestLostAnswersAreFoundAgain: the owner carries a request out, and its answer is lost. The server that has passed it on
// sends it again where that has no second effect, and says so where it may.
func TestLostAnswersAreFoundAgain(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 2)
	id := func(i int) string { return fmt.Sprint("run-", i) }
	for i := range 9 {
		s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, id(i)))
	}
	s.do(1, http.MethodPut, "/api/v1/schedules/nightly", `{"cron":"0 3 1 1 *","module":"guest","workflow":"empty"}`)
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		effects                  func() int
	}{
		{"a start without an id", "POST", "/api/v1/runs", `{"module":"guest","workflow":"empty"}`, 200, s.runs},
		{"a start that waits", "POST", "/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty"}`, 200, s.runs},
		{"a message without a key", "POST", "/api/v1/runs/run-0/messages", `{"type":"other","value":1}`, 200, func() int { return s.messages("run-0") }},
		{"a cancel", "POST", "/api/v1/runs/run-1/cancel", `{}`, 0, nil},
		{"a pause", "POST", "/api/v1/runs/run-2/pause", `{}`, 200, nil},
		{"a termination", "POST", "/api/v1/runs/run-3/terminate", `{}`, 502, nil}, // the run has ended: who has ended it is not known
		{"a fork", "POST", "/api/v1/runs/run-4/fork", `{"turn":0}`, 200, s.runs},
		{"a schedule", "PUT", "/api/v1/schedules/other", `{"cron":"0 3 1 1 *","module":"guest","workflow":"empty"}`, 502, nil},
		{"a removal", "DELETE", "/api/v1/schedules/other", "", 502, nil},
		{"a reading", "GET", "/api/v1/runs/run-5", "", 200, nil},
		{"the beta's start", "POST", "/api/workflow/start", `{"module":"guest","workflow":"empty"}`, 200, s.runs},
		{"the alpha's start", "POST", "/workflow/start/guest/empty", `1`, 200, s.runs},
		{"a decision", "POST", "/api/v1/runs/run-6/calls/1/resolve", `{"resolution":"fail"}`, 502, nil},
		{"a retry", "POST", "/api/v1/runs/run-6/retry", `{}`, 502, nil},
	} {
		before := 0
		if row.effects != nil {
			before = row.effects()
		}
		s.all[0].lose(1, false)
		status, answer := s.send(1, row.method, row.path, row.body)
		s.all[0].lose(0, false)
		if row.status != 0 && status != row.status {
			t.Errorf("%s: status %d, %s", row.name, status, answer)
		}
		if status == 502 && !strings.Contains(answer, "may have been carried out") && !strings.Contains(answer, "perhaps because the first one was carried out") {
			t.Errorf("%s: the answer does not say that the effect is unknown: %s", row.name, answer)
		}
		if row.effects != nil {
			if n := row.effects() - before; n != 1 {
				t.Errorf("%s had %d effects", row.name, n)
			}
		}
	}
}

// TestSettlingTwiceIsNoConflict if the first answer was lost.
func TestSettlingTwiceIsNoConflict(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 2)
	for i, how := range []string{"", "/reject"} {
		id := fmt.Sprint("run-", i)
		s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(`{"module":"guest","workflow":"promise","input":null,"id":%q}`, id))
		var all []flawless.Promise
		for range 500 {
			if err := json.Unmarshal([]byte(s.do(1, http.MethodGet, "/api/v1/runs/"+id+"/promises", "")), &all); err != nil {
				t.Fatal(err)
			}
			if len(all) > 0 {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if len(all) != 1 {
			t.Fatalf("%s has the promises %+v", id, all)
		}
		path, body := "/api/v1/promises/"+all[0].Token+how, `{"error":"no"}`
		s.all[0].lose(1, false)
		var p flawless.Promise
		if err := json.Unmarshal([]byte(s.do(1, http.MethodPost, path, body)), &p); err != nil || p.Token != all[0].Token || p.Run != id || p.Made.IsZero() {
			t.Errorf("the promise is %+v, %v", p, err)
		}
		if status, answer := s.send(1, http.MethodPost, path, body); status != http.StatusConflict {
			t.Errorf("settling it once more: status %d, %s", status, answer)
		}
	}
}

// TestRequestsFindANewOwner while nobody owns anything, and after the owner crashed with the request in its hands.
func TestRequestsFindANewOwner(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "run"))
	waited := make(chan string, 1)
	go func() {
		_, answer := s.send(1, http.MethodGet, "/api/v1/runs/run?wait=true", "")
		waited <- answer
	}()
	followed := make(chan string, 1)
	go func() {
		_, answer := s.send(1, http.MethodGet, "/api/v1/runs/run/events", "")
		followed <- answer
	}()
	s.all[0].lose(1, true)
	answered := make(chan string, 1)
	go func() {
		_, answer := s.send(1, http.MethodPost, "/api/v1/runs/run/messages", `{"type":"other","value":1}`)
		answered <- answer
	}()
	for s.all[0].cut.Load().times.Load() > 0 {
		<-time.After(time.Millisecond)
	}
	s.all[0].lose(1000, true)
	s.all[0].Kill()
	s.take(2)
	if answer := <-answered; !strings.Contains(answer, `"id":"msg_`) {
		t.Errorf("the message: %s", answer)
	}
	s.do(1, http.MethodPost, "/api/v1/runs/run/messages", `{"type":"go","value":1}`)
	if answer := <-waited; !strings.Contains(answer, `"status":"completed"`) {
		t.Errorf("the one who waited got %s", answer)
	}
	if answer := <-followed; !strings.Contains(answer, "event: run") || strings.Contains(answer, "event: problem") {
		t.Errorf("the follower got %s", answer)
	}
	if n := s.messages("run"); n != 2 {
		t.Errorf("the run has %d messages", n)
	}
}

// TestRequestsOfNobodyAreRefused when the patience of the server is over. What the store knows is answered all the same.
func TestRequestsOfNobodyAreRefused(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 2)
	s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "run"))
	s.all[0].lose(1_000_000, true)
	s.all[0].Kill()
	if status, answer := s.send(1, http.MethodGet, "/api/v1/runs/run", ""); status != http.StatusOK || !strings.Contains(answer, `"id":"run"`) {
		t.Errorf("the run: status %d, %s", status, answer)
	}
	status, answer := s.send(1, http.MethodPost, "/api/v1/runs/run/pause", "{}")
	if status != http.StatusBadGateway || !strings.Contains(answer, "may have been carried out") {
		t.Errorf("a request that breaks off again and again: status %d, %s", status, answer)
	}
	none := newSeveral(t, 2)
	if err := none.all[0].Release(t.Context(), append(store.AllShards(), store.ShardOfCaps)...); err != nil {
		t.Fatal(err)
	}
	status, answer = none.send(1, http.MethodPost, "/api/v1/runs/run/pause", "{}")
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, "no node owns") {
		t.Errorf("a request for what nobody owns: status %d, %s", status, answer)
	}
}

// TestRequestsMakeOneHop: a server that is asked wrongly says so, with the owner, and passes nothing on.
func TestRequestsMakeOneHop(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	s.do(0, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "run"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/runs/run/pause", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	others, err := s.all[1].peer.Others(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range others {
		if n.ID != "node2" {
			continue
		}
		res, err := s.all[1].peer.Send(n, r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusMisdirectedRequest || res.Header.Get(reply.ShardHeader) != fmt.Sprint(store.ShardOf("run")) {
			t.Errorf("status %d, %v", res.StatusCode, res.Header)
		}
	}
	if n := s.all[0].asked.Load(); n != 0 {
		t.Errorf("the owner was asked %d times", n)
	}
}

// TestClientsCannotActAsServers: headers that servers send each other have no effect in requests of clients.
func TestClientsCannotActAsServers(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 2)
	before := s.runs()
	for range 2 {
		if status, answer := s.send(1, http.MethodPost, "/api/v1/runs", `{"module":"guest","workflow":"empty"}`, "Flawless-Made", "mine", "Flawless-Again", "1"); status != http.StatusCreated {
			t.Errorf("status %d, %s", status, answer)
		}
	}
	if n := s.runs() - before; n != 2 {
		t.Errorf("two starts made %d runs", n)
	}
}

// TestEventsOfAllServers: a stream has the changes of the runs of all servers, and says when one of them is lost.
func TestEventsOfAllServers(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	c, err := client.New(client.Options{Port: s.all[1].web.Listener.Addr().(*net.TCPAddr).Port, NoQUIC: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
	defer end()
	next := make(chan string, 1000)
	open := make(chan struct{})
	go func() {
		defer close(next)
		for r, err := range c.Watch(ctx) {
			switch {
			case errors.Is(err, client.Reset):
				next <- "reset"
			case err != nil:
				return
			case r.ID == "first":
				select {
				case <-open:
				default:
					close(open)
				}
			default:
				next <- r.ID
			}
		}
	}()
	want := func(what string) {
		t.Helper()
		for got := range next {
			if got == what {
				return
			}
		}
		t.Fatalf("the stream ended before %s", what)
	}
	for n := 0; ; n++ { // until the stream is open
		s.do(2, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "first"))
		s.do(2, http.MethodPost, "/api/v1/runs/first/"+[]string{"pause", "resume"}[n%2], "{}")
		select {
		case <-open:
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	s.do(2, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "at-node-0"))
	want("at-node-0")
	s.move(0, 2)
	s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "at-node-2"))
	want("at-node-2")
	s.move(2, 1)
	s.do(2, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, "at-node-1"))
	want("at-node-1")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.all[2].peer.Close(gone)
	want("reset")
}

// TestServersThatShareEverything has the shards divided among three servers, and sends requests that belong together to
// different ones.
func TestServersThatShareEverything(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	for i := 1; i < 3; i++ {
		var some []store.Shard
		for _, sh := range store.AllShards() {
			if int(sh)%3 == i {
				some = append(some, sh)
			}
		}
		if err := s.all[0].Release(t.Context(), some...); err != nil {
			t.Fatal(err)
		}
		if err := s.all[i].Gain(t.Context(), store.ByForce(some...)); err != nil {
			t.Fatal(err)
		}
	}
	has := func(what, answer, part string) {
		t.Helper()
		if !strings.Contains(answer, part) {
			t.Errorf("%s: %s does not have %s", what, answer, part)
		}
	}
	for i := range 12 {
		a, b, c := i%3, (i+1)%3, (i+2)%3
		n := fmt.Sprint(i)
		has("a start", s.do(a, "POST", "/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty","input":`+n+`,"id":"e`+n+`"}`), `"started":true`)
		has("the same start elsewhere", s.do(b, "POST", "/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty","input":`+n+`,"id":"e`+n+`"}`), `"started":false`)
		has("a start without id", s.do(c, "POST", "/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty"}`), `"completed"`)
		has("a run", s.do(b, "GET", "/api/v1/runs/e"+n, ""), `"output":`+n)
		s.do(a, "POST", "/api/v1/runs", fmt.Sprintf(mailbox, "m"+n))
		s.do(b, "POST", "/api/v1/runs/m"+n+"/messages", `{"type":"other","value":1}`)
		has("the messages", s.do(c, "GET", "/api/v1/runs/m"+n+"/messages", ""), `"other"`)
		s.do(c, "POST", "/api/v1/runs/m"+n+"/terminate", "{}")
		has("a restart", s.do(a, "POST", "/api/v1/runs/m"+n+"/restart?id=r"+n, ""), `"r`+n+`"`)
		has("a fork", s.do(b, "POST", "/api/v1/runs/m"+n+"/fork", `{"turn":0,"id":"f`+n+`"}`), `"f`+n+`"`)
		has("a cancel", s.do(c, "POST", "/api/v1/runs/f"+n+"/cancel", "{}"), `"f`+n+`"`)
		has("a log", s.do(a, "GET", "/api/v1/runs/f"+n+"/events", ""), "event: run")
		s.do(a, "PUT", "/api/v1/schedules/s"+n, `{"cron":"0 3 1 1 *","module":"guest","workflow":"empty"}`)
		has("a schedule", s.do(b, "GET", "/api/v1/schedules/s"+n, ""), `"s`+n+`"`)
		has("the schedules", s.do(c, "GET", "/api/v1/schedules?limit=1000", ""), `"s`+n+`"`)
		has("a trigger", s.do(c, "POST", "/api/v1/schedules/s"+n+"/trigger?key=k", ""), `"s`+n+`@k"`)
		has("a trigger without key", s.do(b, "POST", "/api/v1/schedules/s"+n+"/trigger", ""), `"started":true`)
		has("a backfill", s.do(a, "POST", "/api/v1/schedules/s"+n+"/backfill?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z", ""), `s`+n+`@2020`)
		host := "h" + n + ".example.com"
		s.do(a, "PUT", "/api/v1/limits/"+host, `{"rate":"10/s"}`)
		has("the limits", s.do(b, "GET", "/api/v1/limits?limit=1000", ""), host)
		s.do(b, "DELETE", "/api/v1/limits/"+host, "")
		s.do(c, "PATCH", "/api/v1/hosts/"+host, `{"retry_for_ms":1234}`)
		has("a host", s.do(a, "GET", "/api/v1/hosts/"+host, ""), "1234")
		s.do(a, "DELETE", "/api/v1/hosts/"+host, "")
		s.do(a, "PATCH", "/api/v1/modules/guest/settings", `{"retention_ms":`+fmt.Sprint(1e9+i)+`}`)
		has("the settings", s.do(b, "GET", "/api/v1/modules/guest/settings", ""), fmt.Sprint(int(1e9)+i))
	}
}

// TestOneStartOfAnIDWins while clients of three servers start the same ids with different inputs, and all shards move
// now and then: all of them agree on who was first.
func TestOneStartOfAnIDWins(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	const ids, clients = 30, 6
	inputs := make([][clients]int, ids) // by id and client: the status
	firsts := make([]atomic.Int64, ids) // by id: how many were the first
	stop, moved, answered := make(chan struct{}), make(chan struct{}), make(chan struct{}, ids*clients)
	go func() {
		defer close(moved)
		for at := 0; ; at = (at + 1) % 3 {
			for range 20 { // so many requests are answered between two moves
				select {
				case <-stop:
					return
				case <-answered:
				}
			}
			s.move(at, (at+1)%3)
		}
	}()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for id := range ids {
				status, answer := s.send(c%3, http.MethodPost, "/api/v1/runs", fmt.Sprintf(`{"module":"guest","workflow":"empty","input":%d,"id":"id-%d"}`, c, id))
				answered <- struct{}{}
				inputs[id][c] = status
				switch {
				case strings.Contains(answer, `"started":true`):
					firsts[id].Add(1)
				case status != http.StatusOK && status != http.StatusConflict:
					t.Errorf("start of id-%d: status %d, %s", id, status, answer)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	<-moved
	for id := range ids {
		log, err := s.all[0].Log(t.Context(), fmt.Sprint("id-", id), 0, 1)
		if err != nil || len(log) == 0 || log[0].Entries[0].Start == nil {
			t.Fatalf("id-%d: %v", id, err)
		}
		input := string(log[0].Entries[0].Start.Input)
		for c, status := range inputs[id] {
			if won := input == fmt.Sprint(c); won != (status != http.StatusConflict) {
				t.Errorf("id-%d was started with %s, and the client that sent %d got status %d", id, input, c, status)
			}
		}
		if n := firsts[id].Load(); n > 1 {
			t.Errorf("%d clients were told that they have started id-%d", n, id)
		}
	}
}

// TestEveryOperationHasRules compares the table with the description of the API and with the page of the documentation.
func TestEveryOperationHasRules(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	methods := map[string]string{}
	for _, item := range a.huma.OpenAPI().Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if o != nil {
				methods[o.OperationID] = o.Method
			}
		}
	}
	for _, r := range a.betaRoutes() {
		methods[r.pattern], _, _ = strings.Cut(r.pattern, " ")
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "internals", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reach {
		method := methods[r.op]
		delete(methods, r.op)
		switch {
		case method == "":
			t.Errorf("there is no operation %s, or two rows for it", r.op)
		case method == http.MethodGet && (!r.again || r.why != reads):
			t.Errorf("%s only reads", r.op)
		case method != http.MethodGet && r.look == "" && r.at != ofServer && r.why != reads:
			t.Errorf("%s does not say how to find out whether it was carried out", r.op)
		case r.why == "":
			t.Errorf("%s does not say why", r.op)
		}
		again := "no"
		if r.again {
			again = "yes"
		}
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", r.op, r.at, again, r.why); !bytes.Contains(page, []byte(row)) {
			t.Errorf("docs/internals/operations.md has no row\n%s", row)
		}
	}
	for op := range methods {
		t.Errorf("operation %s is in no row of the table", op)
	}
}
