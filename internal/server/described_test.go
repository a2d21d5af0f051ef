package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/reply"
)

// description checks answers against the description of the API.
type description struct {
	t     testing.TB
	raw   any
	paths map[string]map[string]*describedOperation
	mux   *http.ServeMux // finds the operation of a request

	mu       sync.Mutex // guards the fields below
	compiler *jsonschema.Compiler
	seen     map[string][]int // statuses by operation
}

type describedOperation struct {
	Parameters []struct {
		Name, In string
		Schema   struct{ Type any } // a name, or a list of them
	}
	RequestBody *struct {
		Required bool
		Content  map[string]any
	}
	Responses map[string]struct{ Content map[string]any }
}

func newDescription(t testing.TB, h http.Handler) *description {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	d := &description{t: t, compiler: jsonschema.NewCompiler(), seen: map[string][]int{}, mux: http.NewServeMux()}
	var doc struct {
		Paths map[string]map[string]*describedOperation
	}
	err := json.Unmarshal(w.Body.Bytes(), &doc)
	if err == nil {
		d.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	}
	if err != nil {
		t.Fatal(err)
	}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", d.raw); err != nil {
		t.Fatal(err)
	}
	d.paths = doc.Paths
	for path, item := range d.paths {
		for method := range item {
			d.mux.Handle(strings.ToUpper(method)+" "+path, http.NotFoundHandler())
		}
	}
	return d
}

// operations returns all operations, as METHOD /path.
func (d *description) operations() []string {
	var all []string
	for path, item := range d.paths {
		for method := range item {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

func (d *description) operation(pattern string) *describedOperation {
	method, path, _ := strings.Cut(pattern, " ")
	return d.paths[path][strings.ToLower(method)]
}

// check returns a handler that reports every answer that does not match the description.
func (d *description) check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := &copied{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			broke := recover()
			if _, pattern := d.mux.Handler(r); pattern != "" && broke == nil && r.Context().Err() == nil {
				d.answered(pattern, copied.status, w.Header(), copied.body.Bytes())
			}
			if broke != nil {
				panic(broke)
			}
		}()
		next.ServeHTTP(copied, r)
	})
}

type copied struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *copied) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *copied) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copied) Write(b []byte) (int, error) {
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

func (d *description) answered(pattern string, status int, header http.Header, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[pattern] = append(d.seen[pattern], status)
	if err := d.conforms(pattern, status, header.Get("Content-Type"), body); err != nil {
		d.t.Errorf("%s answers with status %d, %s, which does not match its description: %v\n%.2000s", pattern, status, header.Get("Content-Type"), err, body)
	}
}

func (d *description) conforms(pattern string, status int, contentType string, body []byte) error {
	response, found := d.operation(pattern).Responses[fmt.Sprint(status)]
	if !found {
		return fmt.Errorf("the status is not described")
	}
	if len(response.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("no body is described")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil || response.Content[kind] == nil {
		return fmt.Errorf("the content type is not described: %v", err)
	}
	var v any
	switch kind {
	case "application/octet-stream":
		return nil
	case "text/event-stream":
		return d.events(pattern, body)
	default:
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(body))
	}
	if err != nil {
		return err
	}
	return d.valid(pattern, fmt.Sprintf("responses/%d/content/%s/schema", status, pointer.Replace(kind)), v)
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// valid checks a value against a schema in the description of an operation.
func (d *description) valid(pattern, at string, v any) error {
	method, path, _ := strings.Cut(pattern, " ")
	at = fmt.Sprintf("openapi.json#/paths/%s/%s/%s", pointer.Replace(path), strings.ToLower(method), at)
	schema, err := d.compiler.Compile(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(at))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// events checks a stream. Validators ignore contentSchema, so the data of each event is checked as well.
func (d *description) events(pattern string, stream []byte) error {
	const schema = "responses/200/content/text~1event-stream/schema"
	list := eventList(stream)
	raw, _ := json.Marshal(d.operation(pattern).Responses["200"].Content["text/event-stream"])
	var media struct {
		Schema struct {
			AnyOf []struct {
				Properties struct{ Event struct{ Enum []string } }
			}
		}
	}
	if err := json.Unmarshal(raw, &media); err != nil {
		return err
	}
	for _, e := range list {
		if err := d.valid(pattern, schema, e); err != nil {
			return err
		}
		event := e.(map[string]any)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(event["data"].(string)))
		if err != nil {
			return err
		}
		for i, kind := range media.Schema.AnyOf {
			if kind.Properties.Event.Enum[0] == event["event"] {
				err = d.valid(pattern, fmt.Sprintf("%s/anyOf/%d/properties/data/contentSchema", schema, i), v)
			}
		}
		if err != nil {
			return fmt.Errorf("event %s: %w", event["event"], err)
		}
	}
	return nil
}

// eventList returns the events of a stream.
func eventList(stream []byte) []any {
	list := []any{}
	one := map[string]any{}
	for line := range strings.Lines(string(stream)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && len(one) > 0:
			list = append(list, one)
			one = map[string]any{}
		case name != "":
			one[name] = value
		}
	}
	return list
}

// succeeding has successful requests for each operation that needs no body. Most operations with a body are in
// keeping.
var succeeding = map[string]func(o *owned){
	"GET /api/v1/version":               asked("GET /api/v1/version"),
	"GET /api/v1/health":                asked("GET /api/v1/health"),
	"GET /api/v1/modules":               asked("GET /api/v1/modules"),
	"GET /api/v1/modules/{name}":        asked("GET /api/v1/modules/guest"),
	"GET /api/v1/modules/{name}/source": asked("GET /api/v1/modules/guest/source"),
	"DELETE /api/v1/modules/{name}":     asked("DELETE /api/v1/modules/spare"),
	"GET /api/v1/runs":                  asked("GET /api/v1/runs?status=completed,waiting,paused,running&limit=30"),
	"GET /api/v1/runs/{id}":             ofARun(""),
	"GET /api/v1/runs/{id}/log":         ofARun("/log"),
	"GET /api/v1/runs/{id}/promises":    ofARun("/promises"),
	"GET /api/v1/runs/{id}/messages": func(o *owned) {
		id := o.started("promise", "null")
		o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"a","value":{"text":"b"},"key":"c"}`)
		o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"b"}`)
		first := o.do("GET", "/api/v1/runs/"+id+"/messages?limit=1", "")
		o.do("POST", "/api/v1/runs/"+id+"/terminate", "")
		all := o.do("GET", "/api/v1/runs/"+id+"/messages", "")
		if strings.Count(first, `"type"`) != 1 || strings.Count(all, `"type"`) != 2 || !strings.HasPrefix(all, strings.TrimSuffix(first, "]\n")) {
			o.Errorf("the first of two messages is %s, all are %s", first, all)
		}
	},
	"GET /api/v1/runs/{id}/inspect": ofARun("/inspect"),
	"GET /api/v1/runs/{id}/find":    ofARun("/find?text=a"),
	"GET /api/v1/runs/{id}/bundle":  ofARun("/bundle?log_only=true"),
	"GET /api/v1/runs/{id}/data":    ofARun("/data"),
	"GET /api/v1/runs/{id}/diff/{other}": func(o *owned) {
		o.do("GET", "/api/v1/runs/"+o.paused("promise", "1")+"/diff/"+o.paused("promise", "2"), "")
	},
	"GET /api/v1/runs/{id}/events": func(o *owned) {
		o.do("GET", "/api/v1/runs/"+o.started("empty", `{"a":[1,null]}`)+"/events", "")
	},
	"GET /api/v1/runs/{id}/data/events": func(o *owned) {
		o.do("GET", "/api/v1/runs/"+o.started("empty", `{"a":[1,null]}`)+"/data/events", "")
	},
	"GET /api/v1/events": func(o *owned) {
		ctx, gone := context.WithCancel(o.Context())
		defer gone()
		req, _ := http.NewRequestWithContext(ctx, "GET", o.url+"/api/v1/events", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			o.Fatal(err)
		}
		defer resp.Body.Close()
		o.started("empty", `1`)
		var event strings.Builder
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if event.WriteString(lines.Text() + "\n"); lines.Text() != "" {
				continue
			}
			if strings.Contains(event.String(), "data: ") {
				break
			}
			event.Reset() // it only has an id
		}
		o.described.answered("GET /api/v1/events", resp.StatusCode, resp.Header, []byte(event.String()+"\n"))
	},
	"POST /api/v1/runs/{id}/cancel":    withoutBody("cancel"),
	"POST /api/v1/runs/{id}/pause":     withoutBody("pause"),
	"POST /api/v1/runs/{id}/resume":    withoutBody("resume"),
	"POST /api/v1/runs/{id}/terminate": withoutBody("terminate"),
	"POST /api/v1/runs/{id}/restart": func(o *owned) {
		id := o.started("fail", `"of itself"`)
		o.do("GET", "/api/v1/runs/"+id+"?wait=true", "")
		o.do("POST", "/api/v1/runs/"+id+"/restart", "")
	},
	"GET /api/v1/modules/{name}/settings": asked("GET /api/v1/modules/guest/settings"),
	"GET /api/v1/limits":                  asked("GET /api/v1/limits"),
	"GET /api/v1/history":                 asked("GET /api/v1/history"),
	"POST /api/v1/history/accept":         func(o *owned) { o.do("POST", "/api/v1/history/accept", `{}`) },
	"GET /api/v1/nodes":                   asked("GET /api/v1/nodes"),
	"GET /api/v1/views":                   asked("GET /api/v1/views"),
	"PUT /api/v1/views/{name}":            func(o *owned) { o.do("PUT", "/api/v1/views/v", `{"page":"runs","query":"status=failed"}`) },
	"DELETE /api/v1/views/{name}": func(o *owned) {
		o.do("PUT", "/api/v1/views/v", `{"page":"runs"}`)
		o.do("DELETE", "/api/v1/views/v", "")
	},
	"GET /api/v1/stats":                 func(o *owned) { o.started("empty", `1`); o.do("GET", "/api/v1/stats", "") },
	"POST /api/v1/nodes/{name}/drain":   asked("POST /api/v1/nodes/a/drain"),
	"POST /api/v1/nodes/{name}/undrain": asked("POST /api/v1/nodes/a/undrain"),
	"DELETE /api/v1/limits/{host}": func(o *owned) {
		o.do("PUT", "/api/v1/limits/b.example.com", `{"rate":"1/s"}`)
		o.do("DELETE", "/api/v1/limits/b.example.com", "")
	},
	"GET /api/v1/hosts":            asked("GET /api/v1/hosts"),
	"GET /api/v1/hosts/{host}":     changed("GET", "known.example.com"),
	"DELETE /api/v1/hosts/{host}":  changed("DELETE", "forgotten.example.com"),
	"POST /api/v1/runs/{id}/retry": func(o *owned) { o.do("POST", "/api/v1/runs/"+o.retrying()+"/retry", "") },
	"GET /api/v1/secrets":          asked("GET /api/v1/secrets"),
	"DELETE /api/v1/secrets/{name}": func(o *owned) {
		o.do("PUT", "/api/v1/secrets/OTHER", `{"hosts":["a.example.com"],"value":"another secret"}`)
		o.do("DELETE", "/api/v1/secrets/OTHER", "")
	},
	"POST /api/v1/secret-keys": asked("POST /api/v1/secret-keys"),
	"GET /api/v1/schedules":    asked("GET /api/v1/schedules"),
	"GET /api/v1/schedule-times": func(o *owned) {
		o.do("GET", "/api/v1/schedule-times?cron=0+9+*+*+MON&zone=Europe/Berlin&limit=3", "")
	},
	"GET /api/v1/schedules/{name}": func(o *owned) {
		o.schedule("shown")
		o.do("GET", "/api/v1/schedules/shown", "")
	},
	"DELETE /api/v1/schedules/{name}": func(o *owned) {
		o.schedule("short")
		o.do("DELETE", "/api/v1/schedules/short", "")
	},
	"POST /api/v1/schedules/{name}/resume": func(o *owned) {
		o.schedule("resumed")
		o.do("POST", "/api/v1/schedules/resumed/pause", "")
		o.do("POST", "/api/v1/schedules/resumed/resume", "")
	},
	"POST /api/v1/schedules/{name}/trigger": func(o *owned) {
		o.schedule("triggered")
		o.do("POST", "/api/v1/schedules/triggered/trigger", "")
	},
	"POST /api/v1/schedules/{name}/backfill": func(o *owned) {
		o.schedule("filled")
		o.do("POST", "/api/v1/schedules/filled/backfill?from=2020-01-01T00:00:00Z&to=2021-01-02T00:00:00Z", "")
	},
	"GET /api/v1/states": asked("GET /api/v1/states"),
	"GET /api/v1/states/{name}": func(o *owned) {
		o.do("GET", "/api/v1/runs/"+o.started("add", `3`)+"?wait=true", "")
		o.do("GET", "/api/v1/states/sum", "")
	},
}

func asked(what string) func(*owned) {
	method, path, _ := strings.Cut(what, " ")
	return func(o *owned) { o.do(method, path, "") }
}

// changed requests a host that has settings.
func changed(method, host string) func(*owned) {
	return func(o *owned) {
		o.do("PATCH", "/api/v1/hosts/"+host, `{"key_within_ms":5000}`)
		o.do(method, "/api/v1/hosts/"+host, "")
	}
}

// retrying starts a run that calls a server which refuses connections.
func (o *owned) retrying() string {
	o.Helper()
	id := o.started("script", `{"url":"http://127.0.0.1:1","steps":[{"post":"/"}]}`)
	for !strings.Contains(o.do("GET", "/api/v1/runs/"+id, ""), `"next":`) {
	}
	return id
}

// withoutBody omits the body, which these operations do not need.
func withoutBody(what string) func(*owned) {
	return func(o *owned) {
		id := o.started("promise", "null")
		o.token(id)
		if what == "resume" {
			o.do("POST", "/api/v1/runs/"+id+"/pause", "")
		}
		o.do("POST", "/api/v1/runs/"+id+"/"+what, "")
	}
}

// ofARun requests part of a run that has an answer, lines, data and a call whose outcome is unknown.
func ofARun(path string) func(*owned) {
	return func(o *owned) {
		id := o.started("script", fmt.Sprintf(`{"url":%q,"steps":[{"sleep":1,"data":7},{"post":"/"}]}`, o.broken.URL))
		o.do("GET", "/api/v1/runs/"+id+"?wait=true", "")
		o.do("GET", "/api/v1/runs/"+id+path, "")
	}
}

// TestAnswersMatchDescription calls every operation successfully at least once. The server of newOwned checks each
// answer against /openapi.json, also in other tests that use it.
func TestAnswersMatchDescription(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	if _, _, err := o.api.engine.AddModule(t.Context(), "spare", append(bytes.Clone(o.bin), 0, 2, 1, 'x'), nil); err != nil {
		t.Fatal(err)
	}
	all := o.described.operations()
	for _, op := range all {
		if succeeding[op] != nil {
			succeeding[op](o)
		} else if keeping[op] != nil {
			keeping[op](o)
		}
	}
	for _, op := range all {
		if op == "POST /api/v1/modules" || strings.HasSuffix(op, "/store/check") { // the module of this test declares no name, and its store has no files
			continue
		}
		if !slices.ContainsFunc(o.described.seen[op], func(status int) bool { return status < 300 }) {
			t.Errorf("%s has never succeeded, it answered with %v: add a successful request to the table", op, o.described.seen[op])
		}
	}
}

// TestRefusalsMatchDescription has every operation refuse requests for all reasons that do not depend on what it does.
// Each answer must be a problem with a status that /openapi.json has.
func TestRefusalsMatchDescription(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	d := o.described
	guard, err := listen.Guard(nil, true, d.check(o.handler))
	if err != nil {
		t.Fatal(err)
	}
	served, err := listen.Guard(nil, true, Require(theToken, o.handler))
	if err != nil {
		t.Fatal(err)
	}
	guarded := d.check(served)
	for _, op := range d.operations() {
		method, pattern, _ := strings.Cut(op, " ")
		path := strings.NewReplacer("{n}", "1", "{", "no-", "}", "").Replace(pattern)
		ask := func(h http.Handler, path, kind string, body io.Reader, change func(*http.Request)) (int, reply.Problem) {
			t.Helper()
			ctx, gone := context.WithCancel(t.Context())
			defer gone()
			r := httptest.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
			if kind != "" {
				r.Header.Set("Content-Type", kind)
			}
			if change != nil {
				change(r)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var p reply.Problem
			if w.Code >= 400 {
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Status != w.Code || p.Title == "" {
					t.Errorf("%s: status %d, %s, which is not a problem", op, w.Code, w.Body)
				}
			}
			return w.Code, p
		}
		refused := func(want int, why string, status int, p reply.Problem) {
			t.Helper()
			if status != want {
				t.Errorf("%s, %s: status %d, want %d: %+v", op, why, status, want, p)
			}
		}
		operation := d.operation(op)
		var kind string
		if operation.RequestBody != nil {
			for k := range operation.RequestBody.Content {
				kind = k
			}
		}
		token := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+theToken) }
		if op != "GET /api/v1/health" && !strings.HasPrefix(op, "POST /api/v1/promises/") {
			status, p := ask(guarded, path, kind, nil, nil)
			refused(401, "no token", status, p)
		}
		status, p := ask(guarded, path, kind, nil, func(r *http.Request) { token(r); r.Host = "evil.example" })
		refused(421, "another host", status, p)
		status, p = ask(guarded, path, kind, nil, func(r *http.Request) { token(r); r.Header.Set("Origin", "http://evil.example") })
		refused(403, "another origin", status, p)
		status, p = ask(guard, path+"?who=%ff", kind, nil, nil)
		refused(400, "a query that is not UTF-8", status, p)
		if strings.Contains(pattern, "{") && kind == "" && !strings.HasSuffix(op, "/backfill") && !strings.HasSuffix(op, "/find") {
			status, p = ask(guard, path, "", nil, nil)
			refused(404, "names that nothing has", status, p)
		}
		for _, param := range operation.Parameters {
			if param.In == "query" && param.Schema.Type == "integer" {
				body := io.Reader(nil)
				status, p = ask(guard, path+"?"+param.Name+"=-7", kind, body, nil)
				refused(422, "a number below zero", status, p)
				if !slices.ContainsFunc(p.Errors, func(e reply.Fault) bool { return e.Location == "query."+param.Name }) || p.Code != flawless.Invalid {
					t.Errorf("%s, a number below zero: %+v", op, p)
				}
			}
		}
		if kind == "" {
			continue
		}
		status, p = ask(guard, path, "text/plain", strings.NewReader("x"), nil)
		refused(415, "text", status, p)
		status, p = ask(guard, path, kind, &breaking{}, nil)
		refused(400, "a body that breaks off", status, p)
		if strings.HasPrefix(kind, "application/json") {
			status, p = ask(guard, path, kind, strings.NewReader(`{"module":`), nil)
			if !strings.HasPrefix(op, "POST /api/v1/promises/{token}") || strings.HasSuffix(op, "reject") {
				refused(400, "half a document", status, p)
			}
		}
		if strings.HasPrefix(kind, "application/json") && op != "POST /api/v1/runs/{id}/fork" {
			status, p = ask(guard, path, kind, strings.NewReader(`"`+strings.Repeat("x", maxBody)+`"`), nil)
			refused(413, "a body that is too large", status, p)
		}
		if !strings.Contains("PUT /api/v1/secrets/{name} POST /api/v1/promises/{token} POST /api/v1/bundles", op) && kind == "application/json" {
			status, p = ask(guard, path, kind, strings.NewReader(`{"nobody_knows_this":1}`), nil)
			refused(422, "a member that does not exist", status, p)
			if !slices.ContainsFunc(p.Errors, func(f reply.Fault) bool { return f.Location == "body.nobody_knows_this" }) {
				t.Errorf("%s, a member that does not exist: %+v", op, p)
			}
		}
	}
}

// breaking is a body that ends with an error, like one with malformed chunks.
type breaking struct{ begun bool }

func (b *breaking) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		return copy(p, "{"), nil
	}
	return 0, fmt.Errorf("malformed chunked encoding")
}

// TestMalformedChunksAreInvalidInput sends malformed chunks to every operation with a body.
func TestMalformedChunksAreInvalidInput(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	ops := []string{"POST /api/workflow/start", "POST /api/workflow/send-msg/x", "POST /workflow/start/guest/empty"}
	for _, op := range o.described.operations() {
		if o.described.operation(op).RequestBody != nil {
			ops = append(ops, op)
		}
	}
	for _, op := range ops {
		method, path, _ := strings.Cut(op, " ")
		kind := "application/json"
		if d := o.described.operation(op); d != nil {
			for k := range d.RequestBody.Content {
				kind = k
			}
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(o.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n", method,
			strings.NewReplacer("{n}", "1", "{", "", "}", "").Replace(path), kind)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %+v %v", op, resp, err)
		}
		_ = conn.Close()
	}
}

// TestDescriptionAllowsNewMembersInAnswers, because later versions may add some. Requests must not have unknown members,
// so that a misspelt member is noticed.
func TestDescriptionAllowsNewMembersInAnswers(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	all := a.huma.OpenAPI().Components.Schemas
	walk := func(roots []*huma.MediaType) map[*huma.Schema]bool {
		objects := map[*huma.Schema]bool{}
		v := visitor{registry: all, each: func(s *huma.Schema) {
			if len(s.Properties) > 0 {
				objects[s] = true
			}
		}}
		for _, m := range roots {
			v.visit(m.Schema)
		}
		return objects
	}
	var requests, answers []*huma.MediaType
	for _, item := range a.huma.OpenAPI().Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if o == nil {
				continue
			}
			for _, r := range o.Responses {
				answers = slices.AppendSeq(answers, maps.Values(r.Content))
			}
			if o.RequestBody != nil {
				requests = slices.AppendSeq(requests, maps.Values(o.RequestBody.Content))
			}
		}
	}
	sent, got := walk(requests), walk(answers)
	if len(sent) < 10 || len(got) < 40 {
		t.Fatalf("only %d kinds of objects are in requests, %d in answers", len(sent), len(got))
	}
	for s := range sent {
		if s.AdditionalProperties != false {
			t.Errorf("a request may have unknown members: %v", slices.Sorted(maps.Keys(s.Properties)))
		}
	}
	for s := range got {
		if s.AdditionalProperties != nil {
			t.Errorf("an answer may not have new members: %v", slices.Sorted(maps.Keys(s.Properties)))
		}
	}
}
