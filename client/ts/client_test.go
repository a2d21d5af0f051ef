package ts

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/browsertest"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

const token = "0123456789abcdef"

// installed has the packages of a lock file, by the folder that has it.
var installed sync.Map

// install installs what a folder's lock file pins, once for each version of it, and returns its node_modules.
func install(t *testing.T, dir string) string {
	t.Helper()
	rusttest.Check(t, rusttest.Needs("node"))
	if _, err := exec.LookPath("npm"); err != nil {
		t.Fatal(`there is no npm: run eval "$(tools/setup/setup.sh test)"`)
	}
	once, _ := installed.LoadOrStore(dir, sync.OnceValues(func() (string, error) {
		lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(lock)
		bin, err := filepath.Abs(filepath.Join("..", "..", "bin", "npm"))
		if err != nil {
			return "", err
		}
		to := filepath.Join(bin, hex.EncodeToString(sum[:8]))
		if _, err := os.Stat(to); err == nil {
			return filepath.Join(to, "node_modules"), nil
		}
		if err := os.MkdirAll(bin, 0o777); err != nil {
			return "", err
		}
		fresh, err := os.MkdirTemp(bin, "new-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(fresh)
		manifest, err := os.ReadFile(filepath.Join(dir, "package.json"))
		if err == nil {
			err = errors.Join(os.WriteFile(filepath.Join(fresh, "package.json"), manifest, 0o666), os.WriteFile(filepath.Join(fresh, "package-lock.json"), lock, 0o666))
		}
		if err != nil {
			return "", err
		}
		if _, err := command(fresh, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			return "", err
		}
		if err := os.Rename(fresh, to); err != nil {
			if _, there := os.Stat(to); there != nil { // another process was first
				return "", err
			}
		}
		return filepath.Join(to, "node_modules"), nil
	}))
	modules, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return modules
}

// command runs a program in a folder, and returns what it prints.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), text.String())
	}
	return out.String(), nil
}

func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := command(dir, env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tsc compiles the project in a folder.
func tsc(t *testing.T, dir string) {
	t.Helper()
	run(t, dir, nil, "node", filepath.Join(install(t, "."), "typescript", "bin", "tsc"), "-p", ".")
}

func copyFiles(t *testing.T, to string, files ...string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %q %v", pattern, files, err)
	}
	return files
}

// pack packs the package as npm does, and returns the archive.
var pack = sync.OnceValues(func() ([]byte, error) {
	tmp, err := os.MkdirTemp("", "flawless-client-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, onlyPackage{os.DirFS(".")}); err != nil {
		return nil, err
	}
	modules, _ := installed.Load(".")
	path, err := modules.(func() (string, error))()
	if err == nil {
		err = os.Symlink(path, filepath.Join(tmp, "node_modules"))
	}
	if err != nil {
		return nil, err
	}
	out, err := command(tmp, nil, "npm", "pack", "--silent")
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(out)
	return os.ReadFile(filepath.Join(tmp, lines[len(lines)-1]))
})

// onlyPackage leaves out what is not part of the package.
type onlyPackage struct{ fs.FS }

func (o onlyPackage) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(o.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		return slices.Contains([]string{"testdata", "node_modules", "dist"}, e.Name()) || strings.HasSuffix(e.Name(), ".go")
	}), err
}

// project makes a folder with the packed package and the types of Node.js in its node_modules, and the programs of testdata,
// compiled.
func project(t *testing.T, sources ...string) string {
	t.Helper()
	modules := install(t, ".")
	archive, err := pack()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(own, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "flawless-client.tgz")
	err = errors.Join(os.WriteFile(file, archive, 0o666), os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o666))
	for _, name := range []string{"@types", "undici-types"} {
		err = errors.Join(err, os.Symlink(filepath.Join(modules, name), filepath.Join(own, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, own, nil, "tar", "xzf", file)
	if err := os.Rename(filepath.Join(own, "package"), filepath.Join(own, "flawless-client")); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, dir, append([]string{"testdata/tsconfig.json", "testdata/check.ts"}, sources...)...)
	return dir
}

// TestPackage checks what is in the archive of npm, and that nothing of it comes from elsewhere.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := project(t)
	own := filepath.Join(dir, "node_modules", "flawless-client")
	var files []string
	err := filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(own, path); err == nil && !d.IsDir() {
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"LICENSE", "README.md", "package.json"}
	for _, file := range glob(t, "src/*.ts") {
		name := strings.TrimSuffix(filepath.Base(file), ".ts")
		want = append(want, "src/"+name+".ts", "dist/"+name+".js", "dist/"+name+".js.map", "dist/"+name+".d.ts")
	}
	slices.Sort(want)
	slices.Sort(files)
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	for _, file := range glob(t, filepath.Join(own, "dist", "*.js")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range regexp.MustCompile(`from "([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(from[1], "./") {
				t.Errorf("%s imports %s", filepath.Base(file), from[1])
			}
		}
	}
	for _, lock := range []string{"package-lock.json", "testdata/runtimes/package-lock.json"} {
		if text, err := os.ReadFile(lock); err != nil || bytes.Contains(text, []byte("://")) {
			t.Errorf("%s names a registry (write it with npm config set omit-lockfile-registry-resolved=true): %v", lock, err)
		}
	}
}

var fenced = regexp.MustCompile("(?s)```ts\n(.*?)```")

// TestPagesCompile compiles the examples of the README.
func TestPagesCompile(t *testing.T) {
	t.Parallel()
	dir := project(t)
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := fenced.FindAllSubmatch(text, -1)
	for i, code := range all {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("readme%d.ts", i)), code[1], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 3 {
		t.Errorf("the README has %d examples", len(all))
	}
	tsc(t, dir)
}

// server is one that can be killed and started again.
type server struct {
	t    *testing.T
	args []string
	url  string
	port int
	log  bytes.Buffer
	cmd  *exec.Cmd
}

// made is the folder with the command, "" until a test needs it.
var made string

// binary builds the command.
var binary = sync.OnceValues(func() (file string, err error) {
	if made, err = os.MkdirTemp("", "flawless-bin-"); err != nil {
		return "", err
	}
	file = filepath.Join(made, "flawless")
	_, err = command("../..", nil, "go", "build", "-o", file, "./cmd/flawless")
	return file, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(made)
	os.Exit(code)
}

// newServer starts a server that requires a token, with the guest of the engine's tests.
func newServer(t *testing.T) *server {
	t.Helper()
	rusttest.Check(t, rusttest.Needs("node"))
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	p := strconv.Itoa(port)
	s := &server{t: t, port: port, url: "http://127.0.0.1:" + p, args: []string{file, "--socket", "127.0.0.1:" + p, "--port", p, "--working-dir", t.TempDir(), "up"}}
	t.Cleanup(s.kill)
	s.start()
	module := filepath.Join(t.TempDir(), "guest.wasm")
	run(t, filepath.Join("..", "..", "internal", "engine", "testdata", "guest"), []string{"GOOS=wasip1", "GOARCH=wasm"}, "go", "build", "-buildmode=c-shared", "-o", module, ".")
	s.add("guest", module)
	return s
}

func (s *server) client() *client.Client {
	c, err := client.New(client.Options{Socket: "127.0.0.1:" + strconv.Itoa(s.port), NoQUIC: true, Token: token})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *server) add(name, file string) {
	s.t.Helper()
	bin, err := os.ReadFile(file)
	if err == nil {
		_, _, err = s.client().AddModule(s.t.Context(), name, bin, nil)
	}
	if err != nil {
		s.t.Fatalf("%v; the log of the server: %s", err, s.log.String())
	}
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Env = append(os.Environ(), "FLAWLESS_TOKEN="+token)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	tick, late := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		if resp, err := http.Get(s.url + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			s.kill()
			s.t.Fatalf("the server does not answer: %s", s.log.String())
		}
	}
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) env(more ...string) []string {
	return append([]string{"FLAWLESS_URL=" + s.url, "FLAWLESS_TOKEN=" + token}, more...)
}

// outside is what runs and clients of the tests reach that is no Flawless server.
func outside(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/silent/", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a connection is watched once its request was read
		<-r.Context().Done()
	})
	mux.Handle("/moved/", http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>not here</h1>", http.StatusTeapot) })
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

// TestEveryRuntime uses all of the client in Node.js, Deno and Bun.
func TestEveryRuntime(t *testing.T) {
	t.Parallel()
	dir := project(t, "testdata/everything.ts")
	tsc(t, dir)
	s := newServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	_ = l.Close()
	env := s.env("OUTSIDE="+outside(t), "DEAD="+dead)
	for name, args := range map[string][]string{
		"node": {"node"},
		"deno": {"@deno/*/deno", "run", "--quiet", "--no-lock", "--allow-net", "--allow-env"},
		"bun":  {"@oven/bun-*/bin/bun", "run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "node" {
				files, _ := filepath.Glob(filepath.Join(install(t, filepath.Join("testdata", "runtimes")), args[0]))
				if len(files) == 0 {
					t.Skipf("npm has no %s for this machine", name)
				}
				args[0] = files[0]
			}
			out := run(t, dir, append(env, "PREFIX="+name+"-"), args[0], append(args[1:], "out/everything.js")...)
			if out != "done\n" {
				t.Errorf("%q", out)
			}
		})
	}
}

// lossy passes requests on, and loses answers: it does not pass on every third request, closes the connection before every
// third answer, and cuts every stream after some bytes, more each time. Below /always, it loses every answer.
type lossy struct {
	to *httputil.ReverseProxy
	mu sync.Mutex
	n  map[string]int
}

func newLossy(t *testing.T, to string) string {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{n: map[string]int{}, to: &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: nil, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	web := httptest.NewServer(p)
	t.Cleanup(web.Close)
	return web.URL
}

func (p *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, always := strings.CutPrefix(r.URL.Path, "/always")
	r.URL.Path = path
	p.mu.Lock()
	p.n[r.Method+path]++
	n := p.n[r.Method+path]
	p.mu.Unlock()
	switch {
	case strings.HasSuffix(path, "/events") && n%3 != 1:
		p.to.ServeHTTP(&cut{w, 200 * n}, r)
	case always || n%3 == 2:
		p.to.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case n%3 == 1 && n%2 == 0:
		panic(http.ErrAbortHandler)
	case n%3 == 1:
		http.Error(w, "<h1>bad gateway</h1>", http.StatusBadGateway)
	default:
		p.to.ServeHTTP(w, r)
	}
}

// cut closes the connection after some bytes.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		_, _ = c.ResponseWriter.Write(b[:len(b)/2])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestRepeatedRequestsHaveOneEffect uses a connection that loses answers and cuts streams.
func TestRepeatedRequestsHaveOneEffect(t *testing.T) {
	t.Parallel()
	dir := project(t, "testdata/lossy.ts")
	tsc(t, dir)
	s := newServer(t)
	if out := run(t, dir, s.env("LOSSY="+newLossy(t, s.url)), "node", "out/lossy.js"); out != "done\n" {
		t.Errorf("%q", out)
	}
	runs := 0
	for _, err := range s.client().All(t.Context(), flawless.Filter{Prefix: "lossy-"}) {
		if err != nil {
			t.Fatal(err)
		}
		runs++
	}
	if runs != 10 {
		t.Errorf("%d runs, want 10", runs)
	}
}

// TestServerIsKilled kills the server under a client that waits, follows and watches.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	dir := project(t, "testdata/restart.ts")
	tsc(t, dir)
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "out/restart.js")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), s.env()...)
	var text bytes.Buffer
	cmd.Stderr = &text
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"ready", "done"} {
		if !lines.Scan() || lines.Text() != want {
			_ = cmd.Wait()
			t.Fatalf("%q, want %q: %s; the log of the server: %s", lines.Text(), want, text.String(), s.log.String())
		}
		if want == "ready" {
			s.kill()
			s.start()
			fmt.Fprintln(in, "go on")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, text.String())
	}
}

// TestInABrowser uses the client in a page, by way of an application that passes requests on. The server itself refuses
// pages of other origins.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := browsertest.Open(t)
	dir := project(t)
	s := newServer(t)
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir(filepath.Join(dir, "node_modules", "flawless-client", "dist")))))
	mux.Handle("/flawless/", http.StripPrefix("/flawless", &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		kept := http.Header{"Authorization": {"Bearer " + token}}
		for _, name := range []string{"Accept", "Content-Type", "Last-Event-Id"} {
			if v := r.In.Header.Get(name); v != "" {
				kept.Set(name, v)
			}
		}
		r.Out.Header = kept
	}}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><script type="module">
import { Client } from "/lib/index.js";
const client = new Client({ url: "/flawless" });
window.own = async () => {
	const run = await client.workflow("guest", "mailbox").start("page", 2);
	await run.send("number", 1);
	await run.send("number", 2);
	const output = await run.wait();
	let records = 0;
	for await (const record of run.follow()) records++;
	const listed = [];
	for await (const r of client.runs()) listed.push(r.id);
	return JSON.stringify([output, records > 3, listed]);
};
window.other = () => new Client({ url: %q }).version().then(() => "let in", (e) => e.code + ": " + e.message);
</script>`, s.url)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	b.Go(web.URL)
	b.Until(`window.other`)
	if got := b.Eval(`own()`); got != `[[1,2],true,["page"]]` {
		t.Errorf("through the application: %s", got)
	}
	if p := b.Problems(); len(p) > 0 {
		t.Errorf("problems: %q", p)
	}
	if got := b.Eval(`other()`); !strings.HasPrefix(got, "unreachable: ") || !strings.HasSuffix(got, "go by way of your application") {
		t.Errorf("a page of another origin: %s", got)
	}
}

// TestGuide runs the code of docs/guide/applications.md.
func TestGuide(t *testing.T) {
	t.Parallel()
	dir := project(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "applications.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := fenced.FindSubmatch(text)
	if code == nil {
		t.Fatal("the guide has no code in TypeScript")
	}
	if err := os.WriteFile(filepath.Join(dir, "guide.ts"), code[1], 0o666); err != nil {
		t.Fatal(err)
	}
	tsc(t, dir)
	s := newServer(t)
	shop := t.TempDir()
	run(t, shop, nil, s.args[0], "new", "shop")
	run(t, shop, nil, s.args[0], "build", "shop")
	s.add("shop", filepath.Join(shop, "shop", "shop.wasm"))
	if out := run(t, dir, s.env(), "node", "out/guide.js"); !strings.Contains(out, "Hello, Ann!") {
		t.Errorf("%q", out)
	}
}
