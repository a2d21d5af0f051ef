package web

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
)

var (
	leftOutMu sync.Mutex
	leftOut   []string
)

// leaveOut skips a test, and has the last lines of the run say so.
func leaveOut(t *testing.T, what string) {
	t.Helper()
	leftOutMu.Lock()
	leftOut = append(leftOut, t.Name()+": "+what)
	leftOutMu.Unlock()
	t.Skip(what)
}

func TestMain(m *testing.M) {
	var err error
	if compiled, err = os.MkdirTemp("", "console"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(compiled)
	for _, what := range leftOut {
		fmt.Println("NOT TESTED:", what)
	}
	os.Exit(code)
}

// browser is a tab of Chromium that notes everything that goes wrong in it.
type browser struct {
	t     *testing.T
	ctx   context.Context
	mu    sync.Mutex
	wrong []string
}

// newBrowser starts Chromium. tools/setup/setup.sh test installs it, or says in FLAWLESS_TEST_WITHOUT that it cannot.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), "chromium") || testing.Short() {
			leaveOut(t, "pages in a browser: there is no Chromium")
		}
		t.Fatal(`there is no Chromium: run eval "$(tools/setup/setup.sh test)"`)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox)
	alloc, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	ctx, end = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.Navigate("about:blank"))
	if _, err := chromedp.Call(ctx, log.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	note := func(text string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wrong = append(b.wrong, text)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case runtime.EventExceptionThrown:
			note(fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case *runtime.EventExceptionThrown:
			note(fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case log.EventEntryAdded: // console errors, requests that failed, violations of the policy
			note(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		case *log.EventEntryAdded:
			note(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%v (so far: %q)", err, b.problems())
	}
}

// eval returns the value of a script, once its promise is kept.
func (b *browser) eval(script string) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", script, err)
	}
	return s
}

// until waits until a condition of the page holds. The page may be replaced by another one meanwhile.
func (b *browser) until(condition string) {
	b.t.Helper()
	tick, end := time.NewTicker(30*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("%s: %v; problems %q; the page says: %.800s", condition, err, b.problems(), b.eval("document.body.innerText.replaceAll(String.fromCharCode(10), ' ')"))
		}
	}
}

func (b *browser) problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.wrong)
}

// axe returns the script that finds what people with disabilities could not use, or "".
func axe(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "axe.js")
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-dir", dir, "-only", "axe-core", "-out", file)
	cmd.Dir = filepath.Join("..", "..", "tools", "console")
	if out, err := cmd.CombinedOutput(); err != nil {
		leftOutMu.Lock()
		leftOut = append(leftOut, fmt.Sprintf("%s: accessibility: axe-core cannot be fetched: %s", t.Name(), out))
		leftOutMu.Unlock()
		return ""
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// look opens a page, and checks that it is not too wide and that everybody can use it; check is the script of [axe]. With
// CONSOLE_SCREENS, it keeps a screenshot there.
func (b *browser) look(s *site, page, path string, width int64, theme, check string) {
	b.t.Helper()
	name := fmt.Sprintf("%s-%d-%s", page, width, theme)
	b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate("about:blank"), chromedp.Navigate(s.URL+path))
	b.eval(`localStorage.setItem('flawless-theme', '` + theme + `'); document.documentElement.dataset.theme = '` + theme + `'`)
	b.until(`!document.querySelector('#run') || document.querySelector('#run').dataset.ready === 'true'`)
	b.check(name, check)
	if dir := os.Getenv("CONSOLE_SCREENS"); dir != "" {
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// check checks the page that is open.
func (b *browser) check(name, axe string) {
	b.t.Helper()
	if over := b.eval(`String(document.documentElement.scrollWidth - innerWidth)`); over != "0" {
		b.t.Errorf("%s is %s px too wide", name, over)
	}
	if axe == "" {
		return
	}
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](axe+";0")); err != nil {
		b.t.Fatal(err)
	}
	if found := b.eval(`axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 2).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary).join('; ')).join('\n'))`); found != "" {
		b.t.Errorf("%s: %s", name, found)
	}
}

// TestPagesInABrowser opens each page in both themes and three widths. With CONSOLE_SCREENS, it keeps screenshots there.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fill()
	b := newBrowser(t)
	check := axe(t)
	for _, page := range []struct{ name, path string }{{"overview", "/"}, {"runs", "/runs?col=why&col=labels&col=workflow&col=calls&col=created"}, {"run", "/runs/many-40#turn=3&call=5"}, {"run-failed", "/runs/failed-4"}, {"run-doubt", "/runs/doubt-1"}, {"run-waiting", "/runs/sleeper"}, {"run-entry", "/runs/steps#turn=3&entry=2.1"}, {"fork", "/runs/many-40/fork?turn=1&call=2"}, {"diff", "/runs/many-40/diff/many-40-fork-1"}, {"bundle", "/bundle"}, {"inbox", "/inbox"}} {
		for _, width := range []int64{1440, 1024, 390} {
			for _, theme := range []string{"light", "dark"} {
				b.look(s, page.name, page.path, width, theme, check)
			}
		}
	}
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// terminate is how tests end runs.
var terminate = flawless.Cancel{Who: "test"}

// TestRowsNeverMove checks that new runs wait behind a button, that rows change in place, and that keys work.
func TestRowsNeverMove(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "first", 72, nil)
	s.start("wait", "second", 72, nil)
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/runs"))
	b.until(`document.querySelector('#live').textContent === 'live'`)
	order := func() string {
		return b.eval(`[...document.querySelectorAll('#list tbody tr')].map(r => r.dataset.id).join()`)
	}
	before := order()
	s.start("echo", "third", "x", nil)
	b.until(`document.querySelector('#newer').textContent.startsWith('1 new') && !document.querySelector('#newer').hidden`)
	if now := order(); now != before || before != "second,first" {
		t.Errorf("the rows were %s and are %s", before, now)
	}
	if _, err := s.client.Terminate(t.Context(), "first", terminate); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector('tr[data-id=first] .st').className.includes('terminated')`)
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("x"))
	b.until(`document.querySelector('tr[data-id=first] input').checked && document.querySelector('#picked').textContent === '1 selected'`)
	b.do(chromedp.KeyEvent("k"), chromedp.KeyEvent("\r"))
	b.until(`location.pathname === '/runs/second' && document.querySelector('#run').dataset.ready === 'true'`)
	b.do(chromedp.KeyEvent("?"))
	b.until(`document.querySelector('dialog[open]') !== null`)
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestRunPageFollowsTheRun checks that the page of a run changes while it goes on, and that it finds back to a server that
// was away.
func TestRunPageFollowsTheRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var away atomic.Bool
	up := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			panic(http.ErrAbortHandler)
		}
		up.ServeHTTP(w, r)
	})
	s.start("wait", "sleeper", 72, nil)
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/runs/sleeper"))
	b.until(`document.querySelector('#run').dataset.ready === 'true' && document.querySelector('#sentence').textContent.includes('Waits') || document.querySelector('#sentence').textContent.includes('Sleeps')`)
	away.Store(true)
	s.CloseClientConnections()
	b.until(`document.querySelector('#live').classList.contains('lost')`)
	away.Store(false)
	b.until(`document.querySelector('#live').textContent === 'live'`)
	if _, err := s.client.Terminate(t.Context(), "sleeper", terminate); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector('.run-head .pill').classList.contains('terminated')`)
	b.until(`document.querySelector('.log').textContent.includes('Ended: terminated')`)
}

// TestLongRunOpensQuickly checks that a run of 10,000 calls has few elements, and logs how long it takes to open.
func TestLongRunOpensQuickly(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "long", map[string]any{"url": s.outside.URL, "n": 10_000, "each": 100}, nil)
	b := newBrowser(t)
	begun := time.Now()
	b.do(chromedp.Navigate(s.URL + "/runs/long"))
	b.until(`document.querySelector('#run').dataset.ready === 'true' && document.querySelectorAll('.tl-rowx').length > 5`)
	took := time.Since(begun)
	t.Logf("opened in %v, of which the log took %s ms to read", took, b.eval(`String(Math.round(performance.getEntriesByType('resource').filter(r => r.name.includes('/log?')).reduce((n, r) => n + r.duration, 0)))`))
	if took > 15*time.Second { // a slow machine; usually under one
		t.Errorf("the run opened in %v", took)
	}
	if !strings.Contains(b.eval(`document.querySelector('.tl').textContent`), "10,000 calls") {
		t.Error("the timeline does not have all calls")
	}
	b.eval(`document.querySelector('.tl-body').scrollTop = 140000; document.querySelector('.log').scrollTop = 300000; ''`)
	b.until(`[...document.querySelectorAll('.tl-label .n')].some(n => Number(n.textContent) > 4900)`)
	if n := b.eval(`String(document.querySelectorAll('*').length)`); len(n) > 4 || n > "1500" && len(n) == 4 {
		t.Errorf("the page has %s elements", n)
	}
}
