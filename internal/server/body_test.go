package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/vault"
)

// loans records the memory that the framework reads bodies into, and overwrites it after the request, as later
// requests do.
type loans struct {
	mu    sync.Mutex
	taken [][]byte
}

type loan struct {
	*bytes.Reader
	l *loans
}

// WriteTo hides the method of bytes.Reader, which would pass on the body itself.
func (r loan) WriteTo(io.Writer) (int64, error) { panic("the framework reads into its own memory") }

func (r loan) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.l.taken = append(r.l.taken, p[:n])
	return n, err
}

func (l *loans) lend(b []byte) io.Reader { return io.MultiReader(loan{bytes.NewReader(b), l}) }

func (l *loans) poison(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range l.taken {
			for i := range p {
				p[i] = '#'
			}
		}
		l.taken = nil
	})
}

// owned is a server that overwrites the memory of the framework after each request.
type owned struct {
	*testing.T
	api       *api
	handler   http.Handler
	described *description // all answers are checked against it
	url       string
	bin       []byte
	vault     *vault.Vault
	broken    *httptest.Server // accepts requests and never answers
}

func newOwned(t *testing.T) *owned {
	dir, err := guests()
	if err != nil {
		t.Fatal(err)
	}
	o := &owned{T: t}
	if o.bin, err = os.ReadFile(filepath.Join(dir, "guest.wasm")); err != nil {
		t.Fatal(err)
	}
	rt, err := guest.NewRuntime(t.Context(), guest.Options{CacheDir: filepath.Join(dir, "compiled")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	o.vault = newVault(t, s, t.TempDir())
	e, err := openEngine(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Vault: o.vault, Cluster: aNode(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	a, h := newAPI(t.Context(), e, slog.New(slog.DiscardHandler), http.NewServeMux())
	var l loans
	a.lend = l.lend
	if os.Getenv(withFront) != "" {
		h = frontOf(t.Context(), t, e, slog.New(slog.DiscardHandler))
	}
	o.handler = h
	o.described = newDescription(t, h)
	web := httptest.NewServer(o.described.check(l.poison(h)))
	o.broken = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
	}))
	o.api, o.url = a, web.URL
	t.Cleanup(func() {
		web.Close()
		o.broken.Close()
		e.Kill()
		_ = rt.Close(context.Background())
	})
	if _, _, err := e.AddModule(t.Context(), "guest", bytes.Clone(o.bin), nil); err != nil {
		t.Fatal(err)
	}
	return o
}

// do sends a request, which must succeed, and returns the answer.
func (o *owned) do(method, path, body string) string {
	o.Helper()
	kind := "application/json"
	if strings.HasPrefix(body, "\x00asm") {
		kind = "application/wasm"
	}
	status, answer := o.send(method, path, kind, body)
	if status >= 300 {
		o.Fatalf("%s %s: status %d, %s", method, path, status, answer)
	}
	return answer
}

func (o *owned) send(method, path, kind, body string) (int, string) {
	o.Helper()
	req, err := http.NewRequestWithContext(o.Context(), method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// paused starts a run, pauses it after its first calls, and returns its id.
func (o *owned) paused(workflow, input string) string {
	o.Helper()
	id := o.started(workflow, input)
	o.do("POST", "/api/v1/runs/"+id+"/pause", "{}")
	return id
}

func (o *owned) started(workflow, input string) string {
	o.Helper()
	id := "run-" + flawless.NewRunID(time.Now())
	o.do("POST", "/api/v1/runs", fmt.Sprintf(`{"id":%q,"module":"guest","workflow":%q,"input":%s}`, id, workflow, input))
	return id
}

// end resumes a run and waits for its end.
func (o *owned) end(id string) string {
	o.Helper()
	o.do("POST", "/api/v1/runs/"+id+"/resume", "{}")
	return o.do("GET", "/api/v1/runs/"+id+"?wait=true", "")
}

func (o *owned) log(id string) string {
	o.Helper()
	return o.do("GET", "/api/v1/runs/"+id+"/log", "")
}

// token returns the token of the promise of a run.
func (o *owned) token(id string) string {
	o.Helper()
	for {
		if m := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(o.do("GET", "/api/v1/runs/"+id+"/promises", "")); m != nil {
			return m[1]
		}
	}
}

// export returns the bytes of the module and the log of a run.
func (o *owned) export(id string) (bin []byte, log string) {
	o.Helper()
	b, err := bundled(o.api.engine.Export(o.Context(), id, engine.Export{}))
	if err != nil {
		o.Fatal(err)
	}
	text, _ := json.Marshal(b.Log)
	return b.Module, string(text)
}

const mark = "31415926535"

// keeping has, for every operation with a body, a function that sends a body with a mark and returns what the server
// has kept of it, which must contain the mark. If the server keeps nothing, the function returns the mark.
var keeping = map[string]func(o *owned) string{
	"POST /api/v1/runs": func(o *owned) string { return o.log(o.paused("promise", mark)) },
	"POST /api/v1/runs/{id}/messages": func(o *owned) string {
		id := o.paused("mailbox", "1")
		o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"number","value":`+mark+`}`)
		return o.end(id)
	},
	"POST /api/v1/promises/{token}": func(o *owned) string {
		id := o.started("promise", "null")
		token := o.token(id)
		o.do("POST", "/api/v1/runs/"+id+"/pause", "{}")
		o.do("POST", "/api/v1/promises/"+token, mark)
		return o.end(id)
	},
	"POST /api/v1/promises/{token}/reject": func(o *owned) string {
		id := o.started("promise", "null")
		token := o.token(id)
		o.do("POST", "/api/v1/runs/"+id+"/pause", "{}")
		o.do("POST", "/api/v1/promises/"+token+"/reject", `{"error":"`+mark+`"}`)
		return o.end(id)
	},
	"POST /api/v1/runs/{id}/cancel":    noted("cancel"),
	"POST /api/v1/runs/{id}/pause":     noted("pause"),
	"POST /api/v1/runs/{id}/terminate": noted("terminate"),
	"POST /api/v1/runs/{id}/resume": func(o *owned) string {
		id := o.paused("promise", "null")
		o.do("POST", "/api/v1/runs/"+id+"/resume", `{"note":"`+mark+`"}`)
		return o.log(id)
	},
	"POST /api/v1/runs/{id}/calls/{n}/resolve": func(o *owned) string {
		id := o.started("once", fmt.Sprintf(`{"url":%q}`, o.broken.URL))
		o.do("GET", "/api/v1/runs/"+id+"?wait=true", "")
		var r flawless.Run
		if err := json.Unmarshal([]byte(o.do("GET", "/api/v1/runs/"+id, "")), &r); err != nil || len(r.Unresolved) != 1 {
			o.Fatalf("%+v, %v", r, err)
		}
		o.do("POST", "/api/v1/runs/"+id+"/pause", "{}")
		o.do("POST", fmt.Sprintf("/api/v1/runs/%s/calls/%d/resolve", id, r.Unresolved[0].Call), `{"resolution":"response","body":"`+mark+`"}`)
		return o.end(id)
	},
	"POST /api/v1/runs/{id}/fork": func(o *owned) string {
		id := o.started("promise", "null")
		o.token(id)
		var made []flawless.Record
		if err := json.Unmarshal([]byte(o.log(id)), &made); err != nil {
			o.Fatal(err)
		}
		n := 0
		for _, rec := range made {
			for _, e := range rec.Entries {
				if e.Turn == nil {
					continue
				}
				for _, c := range e.Turn.Calls {
					if c.Kind == effect.Promise {
						n = c.N
					}
				}
			}
		}
		o.do("POST", "/api/v1/runs/"+id+"/fork", fmt.Sprintf(`{"turn":1,"id":"fork","module":%q,"answers":[{"call":%d,"body":%q}]}`,
			base64.StdEncoding.EncodeToString(o.bin), n, mark))
		if bin, _ := o.export("fork"); !bytes.Equal(bin, o.bin) {
			o.Error("the module of a fork is not the one that was sent")
		}
		return o.do("GET", "/api/v1/runs/fork?wait=true", "")
	},
	"POST /api/v1/runs/{id}/replay": examined("replay"),
	"POST /api/v1/runs/{id}/trace":  examined("trace"),
	"POST /api/v1/bundles": func(o *owned) string {
		id := o.paused("promise", mark)
		_, b := o.send("GET", "/api/v1/runs/"+id+"/bundle", "", "")
		if status, answer := o.send("POST", "/api/v1/bundles?id=imported", "application/octet-stream", b); status != 201 {
			o.Fatalf("importing: %d %s", status, answer)
		}
		bin, log := o.export("imported")
		if !bytes.Equal(bin, o.bin) {
			o.Error("the module of an imported run is not the one that was sent")
		}
		return log
	},
	"POST /api/v1/bundles/view": func(o *owned) string {
		id := o.paused("promise", mark)
		_, b := o.send("GET", "/api/v1/runs/"+id+"/bundle", "", "")
		status, answer := o.send("POST", "/api/v1/bundles/view", "application/octet-stream", b)
		if status != 200 {
			o.Fatalf("looking at a bundle: %d %s", status, answer)
		}
		return answer
	},
	"PUT /api/v1/modules/{name}": func(o *owned) string {
		// A custom section makes another module of the same code.
		other := append(bytes.Clone(o.bin), append([]byte{0, byte(1 + len(mark)), byte(len(mark))}, mark...)...)
		o.do("PUT", "/api/v1/modules/other", string(other))
		o.do("POST", "/api/v1/runs?wait=true", `{"id":"of-other","module":"other","workflow":"empty","input":1}`)
		if bin, _ := o.export("of-other"); !bytes.Equal(bin, other) {
			o.Error("the module is not the one that was sent")
		}
		return mark
	},
	"POST /api/v1/modules": func(o *owned) string { // the module declares no name, so nothing is kept
		if status, answer := o.send("POST", "/api/v1/modules", "application/wasm", string(o.bin)); status != 422 {
			o.Errorf("a module without a name: %d %s", status, answer)
		}
		return mark
	},
	"POST /api/v1/modules/{name}/upgrade": func(o *owned) string {
		o.do("POST", "/api/v1/modules/guest/upgrade?dry_run=true", string(o.bin))
		return mark
	},
	"PATCH /api/v1/modules/{name}/settings": func(o *owned) string {
		o.do("PATCH", "/api/v1/modules/guest/settings", `{"retention_ms":`+mark+`}`)
		return o.do("GET", "/api/v1/modules/guest/settings", "")
	},
	"PUT /api/v1/secrets/{name}": func(o *owned) string {
		o.do("PUT", "/api/v1/secrets/TOKEN", `{"hosts":["a.example.com"],"value":"secret `+mark+`"}`)
		return o.vault.Open()[0].Value
	},
	"PUT /api/v1/views/{name}": func(o *owned) string {
		o.do("PUT", "/api/v1/views/kept", `{"page":"runs","query":"`+mark+`"}`)
		return o.do("GET", "/api/v1/views", "")
	},
	"PUT /api/v1/limits/{host}": func(o *owned) string {
		o.do("PUT", "/api/v1/limits/a.example.com", `{"rate":"31415/s","burst":31}`)
		return strings.ReplaceAll(o.do("GET", "/api/v1/limits", ""), `31415,`, mark)
	},
	"POST /api/v1/history/accept": func(o *owned) string { // it is not in question, so nothing is kept
		o.do("POST", "/api/v1/history/accept", `{"note":"`+mark+`"}`)
		return mark
	},
	"PATCH /api/v1/hosts/{host}": func(o *owned) string {
		o.do("PATCH", "/api/v1/hosts/a.example.com", `{"key_within_ms":`+mark+`}`)
		return o.do("GET", "/api/v1/hosts", "")
	},
	"POST /api/v1/runs/{id}/retry": func(o *owned) string {
		id := o.retrying()
		o.do("POST", "/api/v1/runs/"+id+"/retry", `{"give_up":true,"note":"`+mark+`"}`)
		return o.log(id)
	},
	"PUT /api/v1/schedules/{name}": func(o *owned) string {
		o.schedule("nightly")
		o.do("POST", "/api/v1/schedules/nightly/trigger?key=k", "")
		return o.log("nightly@k")
	},
	"POST /api/v1/schedules/{name}/pause": func(o *owned) string {
		o.schedule("yearly")
		o.do("POST", "/api/v1/schedules/yearly/pause", `{"note":"`+mark+`"}`)
		return strings.Replace(o.do("GET", "/api/v1/schedules/yearly", ""), `"input":`+mark, "", 1)
	},

	"POST /api/module/deploy": func(o *owned) string { // the module declares no name, so nothing is kept
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		part, _ := form.CreateFormFile("module", "module.wasm")
		_, _ = part.Write(o.bin)
		_ = form.Close()
		if status, answer := o.send("POST", "/api/module/deploy", form.FormDataContentType(), b.String()); status != 422 {
			o.Errorf("a module without a name: %d %s", status, answer)
		}
		return mark
	},
	"POST /api/workflow/start": func(o *owned) string {
		return o.do("POST", "/api/workflow/start", `{"module":"guest","workflow":"echo","input":"\"`+mark+`\""}`) + o.newest()
	},
	"POST /api/workflow/send-msg/{id}": func(o *owned) string {
		id := o.paused("mailbox", "1")
		o.do("POST", "/api/workflow/send-msg/"+id, `{"type":"number","data":"`+mark+`"}`)
		return o.end(id)
	},
	"POST /workflow/start/{module}/{workflow}": func(o *owned) string {
		o.do("POST", "/workflow/start/guest/promise", mark)
		return o.newest()
	},
}

func noted(what string) func(*owned) string {
	return func(o *owned) string {
		id := o.started("promise", "null")
		o.do("POST", "/api/v1/runs/"+id+"/"+what, `{"note":"`+mark+`"}`)
		return o.log(id)
	}
}

func examined(how string) func(*owned) string {
	return func(o *owned) string {
		o.do("POST", "/api/v1/runs/"+o.paused("promise", "null")+"/"+how, string(o.bin))
		return mark
	}
}

func (o *owned) schedule(name string) {
	o.Helper()
	o.do("PUT", "/api/v1/schedules/"+name, `{"cron":"@yearly","module":"guest","workflow":"promise","input":`+mark+`}`)
}

// newest returns the log of the newest run.
func (o *owned) newest() string {
	o.Helper()
	m := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(o.do("GET", "/api/v1/runs?limit=1", ""))
	return o.log(m[1])
}

// TestKeptBytesAreCopied sends a body to every operation that accepts one. Afterwards the memory that the framework
// has read it into is overwritten; what the server has kept must not change.
func TestKeptBytesAreCopied(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	var all []string
	for path, item := range o.api.huma.OpenAPI().Paths {
		for method, op := range map[string]any{"POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if b, _ := json.Marshal(op); bytes.Contains(b, []byte(`"requestBody"`)) {
				all = append(all, method+" "+path)
			}
		}
	}
	for _, r := range o.api.betaRoutes() {
		if strings.HasPrefix(r.pattern, "POST ") {
			all = append(all, r.pattern)
		}
	}
	if len(all) != len(keeping) {
		t.Errorf("%d operations have a body, but the table has %d", len(all), len(keeping))
	}
	for _, op := range all {
		kept := keeping[op]
		if kept == nil {
			t.Errorf("%s has a body, but no entry in the table", op)
			continue
		}
		t.Run(op, func(t *testing.T) {
			o := *o
			o.T = t
			if got := kept(&o); !strings.Contains(got, mark) || strings.Contains(got, "##") {
				t.Errorf("the server kept %.500q, which must contain %s", got, mark)
			}
		})
	}
}

// TestNoHandlerUsesRawBody: what the framework calls RawBody is a buffer that later requests reuse. Handlers embed
// Payload instead.
func TestNoHandlerUsesRawBody(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if field, is := n.(*ast.Field); is {
				for _, id := range field.Names {
					if id.Name == "RawBody" {
						t.Errorf("%s has a field RawBody: embed Payload instead", name)
					}
				}
			}
			return true
		})
	}
}

// TestBodyOfOptionalMembersIsOptional calls each operation with a JSON body without one and, if all members are
// optional, with an empty object. Both must get the same answer, and only other operations require a body.
func TestBodyOfOptionalMembersIsOptional(t *testing.T) {
	t.Parallel()
	a, h := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	ask := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "http://localhost"+strings.NewReplacer("{n}", "1", "{", "", "}", "").Replace(path), strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	var optional []string
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"POST": item.Post, "PUT": item.Put, "PATCH": item.Patch} {
			if op == nil || op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
				continue
			}
			code, text := ask(method, path, "")
			if op.RequestBody.Required {
				if code != http.StatusBadRequest || !strings.Contains(text, "needs one") {
					t.Errorf("%s %s without a body: %d %s", method, path, code, text)
				}
				continue
			}
			optional = append(optional, op.OperationID)
			if same, empty := ask(method, path, "{}"); code != same || text != empty {
				t.Errorf("%s %s without a body: %d %s, with an empty body: %d %s", method, path, code, text, same, empty)
			}
		}
	}
	for _, id := range []string{"cancel-run", "terminate-run", "pause-run", "resume-run", "pause-schedule"} {
		if !slices.Contains(optional, id) {
			t.Errorf("%s requires a body", id)
		}
	}
}
