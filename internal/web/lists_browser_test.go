package web

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/web/session"
)

// quiet fails if the browser has reported anything.
func (b *browser) quiet() {
	b.t.Helper()
	if wrong := b.problems(); len(wrong) > 0 {
		b.t.Errorf("the browser reports %q", wrong)
	}
}

// TestZoneAndTheme checks that all times follow the zone that people choose, and that the browser keeps it.
func TestZoneAndTheme(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "sleeper", 72, nil)
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/runs"))
	b.until(`document.querySelector('#live').textContent === 'live'`)
	b.until(`document.querySelector('td.why time').textContent.endsWith(' UTC') && document.querySelector('td time').title.endsWith(' UTC')`)
	b.eval(`document.addEventListener('zone', () => { window.heard = true }); document.querySelector('[data-do=zone]').click(); ''`)
	b.until(`window.heard`) // the page of a run draws its times itself
	b.until(`!document.querySelector('td.why time').textContent.includes('UTC') && document.querySelector('td.why time').title.includes('UTC+') || document.querySelector('td.why time').title.includes('UTC−')`)
	b.do(chromedp.Navigate(s.URL + "/"))
	b.until(`document.documentElement.dataset.zone === 'local' && document.querySelector('[data-do=zone]').textContent === 'local'`)
	b.eval(`document.querySelector('[data-do=theme]').click(); ''`)
	b.until(`document.documentElement.dataset.theme === 'light'`)
	b.do(chromedp.Navigate(s.URL + "/runs"))
	b.until(`document.documentElement.dataset.theme === 'light'`)
	b.quiet()
}

// TestPalette checks that it finds runs on the server, pages, and what the page can do.
func TestPalette(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for i := range 60 {
		s.start("echo", fmt.Sprintf("new-%d", i), "x", nil)
	}
	s.start("wait", "sleeper", 72, nil)
	b := newBrowser(t)
	open := func() {
		t.Helper()
		b.until(`document.querySelector('#live').textContent === 'live' && !document.querySelector('dialog')`)
		b.eval(`document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true, bubbles: true })); ''`)
		b.until(`document.querySelector('dialog[open] input') === document.activeElement`)
	}
	b.do(chromedp.Navigate(s.URL + "/"))
	open()
	b.do(chromedp.KeyEvent("new-0"))
	b.until(`[...document.querySelectorAll('#found li')].some(l => l.textContent.startsWith('new-0'))`)
	b.do(chromedp.KeyEvent("\r"))
	b.until(`location.pathname === '/runs/new-0'`)
	open()
	b.do(chromedp.KeyEvent("inb"))
	b.until(`document.querySelector('#found li[aria-selected=true]').textContent.includes('Inbox')`)
	b.do(chromedp.KeyEvent("\r"))
	b.until(`location.pathname === '/inbox'`)
	b.do(chromedp.Navigate(s.URL + "/runs/sleeper"))
	open()
	b.do(chromedp.KeyEvent("termin"))
	b.until(`document.querySelector('#found li[aria-selected=true]').textContent.includes('Terminate')`)
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.querySelector('details.act[open] .pop')?.contains(document.activeElement)`)
	b.do(chromedp.KeyEvent("\x1b"))
	b.until(`!document.querySelector('details.act[open]')`)
	b.do(chromedp.KeyEvent("?"))
	b.until(`document.querySelector('dialog[open]')?.textContent.includes('next row') === false && document.querySelector('dialog[open]').textContent.includes('previous and next turn')`)
	b.quiet()
}

// TestBulkShowsItsProgress changes all runs that match, more than a page has.
func TestBulkShowsItsProgress(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for i := range 60 {
		s.start("wait", fmt.Sprintf("w-%d", i), 72, nil)
	}
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/runs?status=waiting"))
	b.until(`document.querySelector('#live').textContent === 'live'`)
	b.eval(`document.querySelector('#all').click(); ''`)
	b.until(`document.querySelector('#picked').textContent === '50 selected' && !document.querySelector('#matchlabel').hidden`)
	b.eval(`document.querySelector('#match').click(); ''`)
	b.until(`document.querySelector('#picked').textContent === 'all 60 that match'`)
	b.eval(`document.querySelector('#bulkbar [value=terminate]').click(); ''`)
	b.until(`document.querySelector('h1').textContent === 'Terminate 60 runs'`)
	if _, err := s.client.Terminate(t.Context(), "w-7", terminate); err != nil { // somebody is faster
		t.Fatal(err)
	}
	b.eval(`document.querySelector('#manydo button.primary').click(); ''`)
	b.until(`document.querySelector('#manydo').dataset.done === 'true'`)
	if told := b.eval(`document.querySelector('#done').textContent`); !strings.Contains(told, " of 60 changed") {
		t.Errorf("the page says %q", told)
	}
	open, _, err := s.client.Runs(t.Context(), flawless.Filter{Status: flawless.OpenStatuses})
	if err != nil || len(open) > 0 {
		t.Errorf("%d runs are open, %v", len(open), err)
	}
	for _, wrong := range b.problems() {
		if !strings.Contains(wrong, "409 (Conflict)") {
			t.Errorf("the browser reports %q", wrong)
		}
	}
}

// TestInboxByKeys decides with the keyboard alone, and about many at once.
func TestInboxByKeys(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 5)
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/inbox"))
	b.until(`document.querySelector('#live').textContent === 'live' && document.querySelector('#evidence h2').textContent.includes('a-4')`)
	b.do(chromedp.KeyEvent("j"))
	b.until(`document.querySelector('#evidence h2').textContent.includes('a-3') && location.search.includes('run=a-3')`)
	b.do(chromedp.KeyEvent("k"))
	b.until(`document.querySelector('#evidence h2').textContent.includes('a-4')`)
	b.do(chromedp.KeyEvent("4"))
	b.until(`document.querySelector('[value=fail]').checked`)
	b.eval(`document.querySelector('#decide [name=note]').focus(); ''`)
	b.do(chromedp.KeyEvent("1")) // a digit in the note, not a choice
	b.eval(`document.querySelector('#decide').requestSubmit(); ''`)
	b.until(`location.search.includes('decided=a-4') && document.querySelector('#evidence h2').textContent.includes('a-3')`)
	if r, err := s.client.Run(t.Context(), "a-4", true); err != nil || r.Status != flawless.Failed {
		t.Errorf("the run is %s, %v", r.Status, err)
	}
	// While the page is open, somebody else decides about what it shows.
	b.until(`document.querySelector('#live').textContent === 'live'`)
	if _, err := s.client.Resolve(t.Context(), "a-3", flawless.Decision{Call: 2, Resolution: flawless.Fail, Who: "jo"}); err != nil {
		t.Fatal(err)
	}
	b.until(`!document.querySelector('#decided').hidden && document.querySelector('.doubt.gone code').textContent === 'a-3'`)
	// One decision about all calls of a host.
	b.do(chromedp.Navigate(s.URL + "/inbox"))
	b.until(`document.querySelector('#live').textContent === 'live'`)
	b.eval(`document.querySelector('.grp input').click(); ''`)
	b.until(`document.querySelector('#decide button.primary').textContent === 'Decide about 3…'`)
	b.do(chromedp.KeyEvent("3"))
	b.eval(`document.querySelector('#decide [name=text]').value = 'not booked'; document.querySelector('#decide').requestSubmit(); ''`)
	b.until(`document.querySelector('h1').textContent === 'Decide about 3 calls'`)
	b.eval(`document.querySelector('#manydo [name=note]').value = 'INC-7'; document.querySelector('#manydo').requestSubmit(); ''`)
	b.until(`document.querySelector('#manydo').dataset.done === 'true' && document.querySelector('#done').textContent === '3 of 3 changed'`)
	for _, id := range []string{"a-0", "a-1", "a-2"} {
		if r, err := s.client.Run(t.Context(), id, true); err != nil || r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, "not booked") {
			t.Errorf("%s is %s, %v", id, r.Status, err)
		}
	}
	b.quiet()
}

// TestLostConnection checks that a page says that the server is away, and finds back without losing its place.
func TestLostConnection(t *testing.T) {
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
	for i := range 50 {
		s.start("wait", fmt.Sprintf("w-%d", i), 72, nil)
	}
	b := newBrowser(t)
	b.do(chromedp.EmulateViewport(1200, 500), chromedp.Navigate(s.URL+"/runs?status=waiting"))
	b.until(`document.querySelector('#live').textContent === 'live'`)
	b.eval(`scrollTo(0, 700); document.querySelector('#r-w-20 input').click(); document.querySelector('#q').value = 'half a wo'; ''`)
	away.Store(true)
	s.CloseClientConnections()
	b.until(`document.querySelector('#lost') !== null && document.querySelector('#live').classList.contains('lost')`)
	if _, err := s.client.Terminate(t.Context(), "w-30", terminate); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	b.until(`document.querySelector('#live').textContent === 'live' && document.querySelector('#lost') === null`)
	b.until(`document.querySelector('#r-w-30').classList.contains('gone') && document.querySelector('#r-w-30 .st').textContent === 'Terminated'`)
	if place := b.eval(`[scrollY > 500, document.querySelector('#r-w-20 input').checked, document.querySelector('#q').value, document.querySelectorAll('#list tbody tr').length].join()`); place != "true,true,half a wo,50" {
		t.Errorf("the page has lost its place: %s", place)
	}
}

// TestLoginThatRanOut checks that a page whose login is over leads to the login, and back to itself.
func TestLoginThatRanOut(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	s := newSite(t, token)
	s.start("echo", "order-1", "x", nil)
	b := newBrowser(t)
	for i, notice := range []func(){
		func() { s.start("echo", "order-2", "x", nil) }, // the page wants to show it
		func() { s.CloseClientConnections() },           // the stream wants to come back
	} {
		b.do(chromedp.Navigate(s.URL + "/login?code=" + session.New(token).Code(time.Now()) + "&to=/runs%3Fprefix=order"))
		b.until(`location.search === '?prefix=order' && document.querySelector('#live').textContent === 'live'`)
		b.until(`performance.getEntriesByType('resource').some(r => r.name.includes('/runs?prefix='))`) // it has caught up
		if _, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
		notice()
		b.until(`location.pathname === '/login' && document.querySelector('[name=token]') !== null`)
		b.eval(`document.querySelector('[name=token]').value = '` + token + `'; document.querySelector('form').submit(); ''`)
		b.until(`location.pathname + location.search === '/runs?prefix=order' && document.querySelector('[data-id=order-2]') !== null`)
		t.Logf("way %d leads to the login and back", i+1)
	}
}

// TestLinkFromAnotherSite follows a real link of another site in a real browser.
func TestLinkFromAnotherSite(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	s := newSite(t, token)
	s.start("wait", "order-1", 72, nil)
	guard, err := listen.Guard(nil, true, s.Config.Handler)
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = guard
	other := newSite(t, "")
	other.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<a id="link" href="%[1]s/runs/order-1">the run</a><form id="form" method="post" action="%[1]s/runs/order-1/terminate"><input name="note" value="evil"></form>`, s.URL)
	})
	site := strings.Replace(other.URL, "127.0.0.1", "localhost", 1) // another site than 127.0.0.1
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/login?code=" + session.New(token).Code(time.Now()) + "&to=/runs"))
	b.until(`location.pathname === '/runs'`)
	b.do(chromedp.Navigate(site + "/"))
	b.eval(`document.querySelector('#link').click(); ''`)
	b.until(`location.pathname === '/runs/order-1' && document.querySelector('h1')?.textContent === 'order-1'`)
	b.do(chromedp.Navigate(site + "/"))
	b.eval(`document.querySelector('#form').submit(); ''`)
	b.until(`location.pathname === '/runs/order-1/terminate' && document.readyState === 'complete'`)
	if r, err := s.client.Run(t.Context(), "order-1", false); err != nil || r.Status.Ended() {
		t.Errorf("a form of another site has ended the run: %s, %v", r.Status, err)
	}
}

// TestChartByKeys reads the figures of the chart with the keyboard.
func TestChartByKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("echo", "order-1", "x", nil)
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/"))
	b.until(`document.querySelector('#live').textContent === 'live' && document.querySelector('#chart') !== null`)
	press := func(key string) {
		t.Helper()
		b.eval(`document.querySelector('#chart').dispatchEvent(new KeyboardEvent('keydown', { key: '` + key + `', bubbles: true })); ''`)
	}
	press("End")
	b.until(`document.querySelector('#reading').textContent.includes(' started, ') && document.querySelector('.cursor').getAttribute('x') > '98'`)
	last := b.eval(`document.querySelector('#reading').textContent`)
	press("ArrowLeft")
	b.until(`document.querySelector('#reading').textContent !== ` + fmt.Sprintf("%q", last))
	press("Home")
	b.until(`document.querySelector('.cursor').getAttribute('x') === '0%'`)
	s.start("echo", "order-2", "x", nil)
	b.until(`[...document.querySelectorAll('.bar')].some(x => x.dataset.says.includes('2 started') || x.dataset.says.includes('1 started'))`)
	b.quiet()
}

// TestWhatOpensIsAccessible checks what TestPagesInABrowser does not see: dialogs, menus, and the pages behind forms.
func TestWhatOpensIsAccessible(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fill()
	check := axe(t)
	if check == "" {
		t.Skip("axe-core cannot be fetched")
	}
	b := newBrowser(t)
	for _, what := range []struct{ name, path, open, there string }{
		{"palette", "/runs", `document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', metaKey: true, bubbles: true }))`, `document.querySelector('dialog li')`},
		{"keys", "/inbox", `document.dispatchEvent(new KeyboardEvent('keydown', { key: '?', bubbles: true }))`, `document.querySelector('dialog kbd')`},
		{"filters", "/runs?status=waiting", `document.querySelector('#filter details').open = true`, `document.querySelector('#filter details[open]')`},
		{"save a view", "/runs?status=waiting", `document.querySelector('.act-view').open = true`, `document.querySelector('.act-view[open]')`},
		{"selected", "/runs", `document.querySelector('#all').click()`, `document.querySelector('#bulkbar.on')`},
		{"bulk", "/runs?status=waiting", `document.querySelector('#all').click(); document.querySelector('#bulkbar [value=cancel]').click()`, `document.querySelector('#manydo')`},
		{"decisions", "/inbox", `document.querySelector('.grp input').click(); document.querySelector('[value=retry]').click(); document.querySelector('#decide').requestSubmit()`, `document.querySelector('#manydo')`},
		{"figures", "/", `document.querySelector('.figures').open = true`, `document.querySelector('.figures[open]')`},
		{"day", "/?span=day", ``, `document.querySelector('#chart')`},
		{"login", "/login", ``, `document.querySelector('.login')`},
	} {
		for _, width := range []int64{1440, 390} {
			for _, theme := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%d-%s", what.name, width, theme)
				b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate("about:blank"), chromedp.Navigate(s.URL+what.path))
				b.until(`document.documentElement.classList.contains('js') && (document.querySelector('#live')?.textContent ?? 'live') === 'live'`)
				b.eval(`document.documentElement.dataset.theme = '` + theme + `'; ` + what.open + `; ''`)
				b.until(what.there + ` && document.readyState === 'complete'`)
				b.eval(`document.documentElement.dataset.theme = '` + theme + `'; ''`)
				if over := b.eval(`String(document.documentElement.scrollWidth - innerWidth)`); over != "0" {
					t.Errorf("%s is %s px too wide", name, over)
				}
				if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](check+";0")); err != nil {
					t.Fatal(err)
				}
				if found := b.eval(`axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 2).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary).join('; ')).join('\n'))`); found != "" {
					t.Errorf("%s: %s", name, found)
				}
			}
		}
	}
	b.quiet()
}
