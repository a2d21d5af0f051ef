// Package browsertest drives Chromium in tests. Each tab is a browser of its own, without cookies of others, and notes what
// goes wrong in it.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of Chromium, for one test.
type Tab struct {
	t     *testing.T
	ctx   context.Context
	mu    sync.Mutex
	wrong []string
}

// Open starts Chromium, which ends with the test. Without Chromium, the test fails, or is skipped if tools/setup/setup.sh
// has said that there is none.
func Open(t *testing.T) *Tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), "chromium") || testing.Short() {
			t.Skip("there is no Chromium (make setup says how to get it)")
		}
		t.Fatal(`there is no Chromium: run eval "$(tools/setup/setup.sh test)"`)
	}
	alloc, end := chromedp.NewExecAllocator(t.Context(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox)...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	ctx, end = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(end)
	b := &Tab{t: t, ctx: ctx}
	b.Go("about:blank")
	if _, err := chromedp.Call(ctx, log.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Tab) listen(ev any) {
	var text string
	switch e := ev.(type) {
	case runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case log.EventEntryAdded: // errors of the console, requests that failed
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, text)
}

// Problems returns what has gone wrong so far: exceptions, errors of the console, and requests that failed.
func (b *Tab) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.wrong)
}

// Go opens a page.
func (b *Tab) Go(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("opening %s: %v (so far: %q)", url, err, b.Problems())
	}
}

// Eval returns the value of a script, a string, once its promise is kept.
func (b *Tab) Eval(script string) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", script, err)
	}
	return s
}

// Until waits until a condition of the page holds, for at most 30 seconds. The page may be replaced meanwhile.
func (b *Tab) Until(condition string) {
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
			b.t.Fatalf("%s: %v; problems %q; the page says: %.800s", condition, err, b.Problems(), b.Eval("document.body.innerText"))
		}
	}
}
