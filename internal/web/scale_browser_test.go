package web

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// manyRuns returns a database with n ended runs, written without running them.
func manyRuns(t *testing.T, n int) store.KV {
	t.Helper()
	db := mem.New()
	st, err := store.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := st.Claim(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Add(-time.Duration(n) * time.Second)
	var all sync.WaitGroup
	const workers = 8
	for k := range workers {
		all.Go(func() {
			for i := k; i < n; i += workers {
				at := begun.Add(time.Duration(i) * time.Second)
				h := store.Head{Run: flawless.Run{ID: fmt.Sprintf("run-%06d", i), Module: "guest", Workflow: "echo", Status: flawless.Completed, Created: at, Ended: &at, Turns: 1,
					Output: []byte(`"ok"`), Labels: map[string]string{"customer": "c-" + strconv.Itoa(i%100)}}}
				if i%10 == 0 {
					h.Run.Status, h.Run.Output = flawless.Failed, nil
					h.Run.Failure = &flawless.Failure{Kind: "error", Message: fmt.Sprintf("shipping order %d: no stock", i)}
				}
				if err := st.Write(t.Context(), lease, store.Write{ID: h.Run.ID, New: true, After: &h}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return db
}

// load opens a page and returns how long it took until it was there.
func (b *browser) load(url string) time.Duration {
	b.t.Helper()
	begun := time.Now()
	b.do(chromedp.Navigate(url))
	b.until(`document.querySelector('#live')?.textContent === 'live'`)
	return time.Since(begun)
}

// elements returns how many elements the page has.
func (b *browser) elements() int {
	b.t.Helper()
	n, _ := strconv.Atoi(b.eval(`String(document.querySelectorAll('*').length)`))
	return n
}

// TestManyRuns checks that pages are as small and as quick with 100,000 runs as with few, and counts are exact.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, "", manyRuns(t, 100_000))
	b := newBrowser(t)
	for _, path := range []string{"/", "/runs", "/runs?status=failed", "/runs?prefix=run-05", "/runs?label=customer%3Dc-7", "/runs?text=no+stock"} {
		took := b.load(s.URL + path)
		n := b.elements()
		t.Logf("%s: %v, %d elements", path, took.Round(time.Millisecond), n)
		if took > 10*time.Second || n > 3000 { // on a busy machine; usually a tenth of that
			t.Errorf("%s took %v and has %d elements", path, took, n)
		}
	}
	b.load(s.URL + "/runs?status=failed")
	if text := b.eval(`document.querySelector('#count').textContent`); text != "10,000 of 100,000" {
		t.Errorf("the page counts %q", text)
	}
	b.load(s.URL + "/")
	b.until(`document.querySelector('.causes tbody tr td b').textContent === '10,000'`)
	// A change of all that match says how many there are, and changes no more than it says.
	b.load(s.URL + "/runs?within=30d")
	b.eval(`document.querySelector('#all').click(); document.querySelector('#match').click(); document.querySelector('#bulkbar [value=restart]').click(); ''`)
	b.until(`document.querySelector('h1').textContent === 'Restart 10,000 runs'`)
	if n := b.elements(); n > 3000 {
		t.Errorf("the preview has %d elements", n)
	}
	b.quiet()
}

// TestManyDoubts checks that the inbox stays small and quick with 500 calls to decide about.
func TestManyDoubts(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var all sync.WaitGroup
	for k := range 10 {
		all.Go(func() {
			for i := k; i < 500; i += 10 {
				s.start("charge", fmt.Sprintf("d-%03d", i), s.outside.URL+"/hang", nil)
			}
		})
	}
	all.Wait()
	b := newBrowser(t)
	took := b.load(s.URL + "/inbox")
	if n := b.elements(); n > 2000 || took > 10*time.Second {
		t.Errorf("the inbox took %v and has %d elements", took, n)
	}
	if n := b.eval(`String(document.querySelectorAll('[data-row]').length) + document.querySelector('#count').textContent`); !strings.HasPrefix(n, "100500 calls") {
		t.Errorf("the inbox shows %q", n)
	}
	begun := time.Now()
	for i := range 10 {
		b.do(chromedp.KeyEvent("j"))
		b.until(fmt.Sprintf(`document.querySelectorAll('[data-row]')[%d].querySelector('a[aria-current]') !== null && document.querySelector('#evidence').dataset.for === document.querySelectorAll('[data-row]')[%d].id`, i+1, i+1))
	}
	t.Logf("the inbox opened in %v, and the next call in %v", took.Round(time.Millisecond), (time.Since(begun) / 10).Round(time.Millisecond))
	b.eval(`document.querySelector('.grp input').click(); ''`)
	b.until(`document.querySelector('#decide button.primary').textContent === 'Decide about 500…'`)
	b.do(chromedp.KeyEvent("4"))
	b.eval(`document.querySelector('#decide').requestSubmit(); ''`)
	b.until(`document.readyState === 'complete' && document.querySelector('h1').textContent === 'Decide about 500 calls'`)
	b.eval(`document.querySelector('#manydo').requestSubmit(); ''`)
	b.until(`document.querySelector('#manydo').dataset.done === 'true'`)
	if told := b.eval(`document.querySelector('#done').textContent`); told != "500 of 500 changed" {
		t.Errorf("the page says %q", told)
	}
	b.load(s.URL + "/inbox")
	b.until(`document.querySelector('.calm').textContent.includes("No call needs a decision")`)
	b.quiet()
}

// TestServerKilledUnderOpenPage kills the server and starts another one on its database, while a page is open.
func TestServerKilledUnderOpenPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for i := range 50 {
		s.start("wait", fmt.Sprintf("w-%d", i), 72, nil)
	}
	b := newBrowser(t)
	b.do(chromedp.EmulateViewport(1200, 500))
	b.load(s.URL + "/runs?status=waiting")
	b.eval(`scrollTo(0, 700); document.querySelector('#r-w-20 input').click(); ''`)
	address := s.Listener.Addr().String()
	s.kill()
	b.until(`document.querySelector('#lost')?.textContent.includes('does not answer')`)
	s.up(address)
	s.start("wait", "new", 72, nil)
	b.until(`document.querySelector('#lost') === null && document.querySelector('#live').textContent === 'live'`)
	b.until(`document.querySelector('#newer').textContent.startsWith('1 new') && !document.querySelector('#newer').hidden`)
	if place := b.eval(`[scrollY > 500, document.querySelector('#r-w-20 input').checked, document.querySelectorAll('#list tbody tr').length, document.querySelectorAll('.gone').length].join()`); place != "true,true,50,0" {
		t.Errorf("the page has lost its place: %s", place)
	}
	b.eval(`document.querySelector('#newer').click(); ''`)
	b.until(`document.querySelector('#list tbody tr').dataset.id === 'new' && document.querySelector('#r-w-20 input').checked`)
	// The new server's changes arrive, too.
	if _, err := s.client.Terminate(t.Context(), "w-40", terminate); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector('#r-w-40').classList.contains('gone')`)
}

// TestServerKilledUnderAForm sends a form while the server is away: nothing is lost, and sending it again works.
func TestServerKilledUnderAForm(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	b := newBrowser(t)
	b.load(s.URL + "/modules/guest/start/order")
	b.eval(`const f = n => document.getElementsByName(n)[0]; f('in/id').value = 'o-1'; f('in/cents').value = '5'; f('id').value = 'kept'; ''`)
	address := s.Listener.Addr().String()
	s.kill()
	b.until(`document.querySelector('#lost') !== null`)
	b.eval(`document.querySelector('button[value=start]').click(); ''`)
	b.until(`document.querySelector('#lost')?.textContent.startsWith('Nothing was sent') && document.getElementsByName('in/id')[0].value === 'o-1'`)
	s.up(address)
	b.until(`document.querySelector('#lost') === null`)
	b.eval(`document.querySelector('button[value=start]').click(); ''`)
	b.until(`location.pathname === '/runs/kept' && document.querySelector('.pill')?.textContent.includes('Completed')`)
}

// TestRowsStayWhileRunsGoOn starts and ends many runs while a page is open.
func TestRowsStayWhileRunsGoOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for i := range 50 {
		s.start("wait", fmt.Sprintf("w-%02d", i), 72, nil)
	}
	b := newBrowser(t)
	b.do(chromedp.EmulateViewport(1200, 600))
	b.load(s.URL + "/runs")
	b.eval(`scrollTo(0, 500); window.place = document.querySelector('#r-w-25').getBoundingClientRect().top; window.moved = 0;
		new MutationObserver(() => { if (Math.abs(document.querySelector('#r-w-25').getBoundingClientRect().top - window.place) > 1) window.moved++ })
			.observe(document.querySelector('#list tbody'), { childList: true, subtree: true, characterData: true }); ''`)
	var all sync.WaitGroup
	for k := range 4 {
		all.Go(func() {
			for i := range 50 {
				s.start("echo", fmt.Sprintf("new-%d-%d", k, i), "x", nil)
			}
		})
	}
	for i := range 25 {
		if _, err := s.client.Terminate(t.Context(), fmt.Sprintf("w-%02d", 2*i), terminate); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	b.until(`document.querySelector('#count').textContent === '250 of 250' && document.querySelector('#newer').textContent.startsWith('50+ new')`)
	b.until(`document.querySelector('#r-w-24 .st').className.includes('terminated') || document.querySelector('#r-w-24').classList.contains('gone')`)
	// The button for new rows takes its place once; rows do not move among each other.
	order := b.eval(`[...document.querySelectorAll('#list tbody tr')].map(r => r.dataset.id).join()`)
	if want := strings.Count(order, ","); want != 49 || !strings.HasPrefix(order, "w-49,w-48,") || !strings.HasSuffix(order, ",w-01,w-00") {
		t.Errorf("the rows are now %s", order)
	}
	if moved := b.eval(`String(window.moved)`); moved != "0" {
		t.Errorf("the row under the eyes of people has moved %s times", moved)
	}
	b.quiet()
}

// TestNothingIsInterpreted opens pages with texts that would be interpreted by anything that does not escape them.
func TestNothingIsInterpreted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fill()
	for _, text := range hostile {
		if name := text[:min(len(text), 90)]; !strings.Contains(name, "\u202e") {
			if _, err := s.client.SetView(t.Context(), flawless.View{Name: name, Page: "runs", Query: "text=" + "%3Cb%3E"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := newBrowser(t)
	for _, path := range []string{"/", "/runs?col=why&col=labels&col=workflow", "/runs?text=%3Cscript%3Ealert(1)%3C/script%3E", "/runs?prefix=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", "/inbox", "/inbox?host=%3Cscript%3E", "/runs/failed-0", "/runs/failed-1", "/runs/failed-2",
		"/runs/%3Cb%3E%22x'&y", "/nothing%3Cscript%3E"} {
		b.do(chromedp.Navigate(s.URL + path))
		b.until(`document.readyState === 'complete'`)
		if found := b.eval(`[...document.querySelectorAll('main img, main script:not([type="application/json"]), main [onerror]')].map(e => e.outerHTML).join() + (/[\u202a-\u202e]/.test(document.body.innerText) ? 'hidden characters' : '')`); found != "" {
			t.Errorf("%s has %s", path, found)
		}
	}
	for _, wrong := range b.problems() {
		if !strings.Contains(wrong, "status of 404") {
			t.Errorf("the browser reports %q", wrong)
		}
	}
}
