package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless/client"
)

// TestEntriesOfTheLogOpen checks that several entries can be open, that each has an address, and that bodies which the brief log
// leaves out are fetched on request and never interpreted.
func TestEntriesOfTheLogOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	long := strings.Repeat(`<img src=x onerror="document.title='owned'">`, 1000)
	s.start("echo", "echo", long, nil)
	b := newBrowser(t)
	b.open(s, "/runs/echo")
	b.eval(`document.querySelector('.k-start > button').click(); document.querySelector('.k-data > button').click(); ''`)
	b.until(`document.querySelectorAll('.ent .payload').length === 2 && location.hash.includes('&entry=')`)
	b.open(s, b.eval(`location.pathname + location.hash`))
	b.until(`document.querySelectorAll('.ent .payload').length === 1`)
	b.eval(`document.querySelector('.ent .payload .btn').click(); ''`)
	b.until(`document.querySelector('.ent .payload').textContent.includes('onerror')`)
	b.eval(`[...document.querySelectorAll('.ent .payload .tab')].find(t => t.textContent === 'Hex').click(); ''`)
	b.until(`document.querySelector('.ent .payload .hex').textContent.startsWith('00000000  ')`)
	b.eval(`document.querySelector('[data-part=Data]').click(); document.querySelector('[data-payload=Output]').closest('details').open = true; ''`)
	b.until(`document.querySelector('.replay').textContent.includes('Load the data')`)
	b.eval(`[...document.querySelectorAll('.replay .btn')].find(x => x.textContent === 'Load the data').click(); ''`)
	b.until(`document.querySelector('.replay .j-string').textContent.includes('onerror')`)
	if n := b.eval(`String(document.querySelectorAll('img').length) + document.title`); n != "0echo · Flawless" {
		t.Errorf("something was interpreted: %s", n)
	}
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestCallsOpen checks the details of a call: where the answer could be another one, and how to repeat it in a shell.
func TestCallsOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "many", map[string]any{"url": s.outside.URL, "n": 3, "each": 1}, nil)
	b := newBrowser(t)
	b.open(s, "/runs/many#call=3")
	b.until(`document.querySelector('[data-part=Call]').getAttribute('aria-pressed') === 'true' && document.querySelector('.pane').textContent.includes('/page/1')`)
	b.eval(`navigator.clipboard.writeText = async t => { window.copied = t }; [...document.querySelectorAll('.payload .btn')].find(x => x.textContent === 'Copy as curl').click(); ''`)
	b.until(`window.copied?.startsWith('curl -X GET http://')`)
	b.eval(`[...document.querySelectorAll('.pane a.btn')].find(a => a.textContent.startsWith('What if')).click(); ''`)
	b.until(`location.pathname === '/runs/many/fork' && document.querySelector('[name=body]').value.includes('/page/1')`)
	b.eval(`{ const f = document.querySelector('form.fork'); f.elements.body.value = '{"half"'; f.dispatchEvent(new Event('input')) } ''`)
	b.until(`document.querySelector('.check-json').classList.contains('bad') && document.querySelector('.command').textContent.includes('--turn 2 --answer 3=answer.json --status 3=200')`)
	b.eval(`document.querySelector('form.fork .primary').click(); ''`)
	b.until(`document.querySelector('.pairs .other')?.textContent && document.querySelector('.pairs').textContent.includes('{"half"')`)
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestExportedRunIsShown opens a file, and gets the page of its run with nothing that needs a server.
func TestExportedRunIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("steps", "steps", 4, nil)
	name := filepath.Join(t.TempDir(), "run.bundle")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.client.Export(t.Context(), "steps", client.Export{}, file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/bundle"))
	b.do(chromedp.SetUploadFiles("#bundle input", []string{name}))
	b.until(`document.querySelector('#run')?.dataset.ready === 'true' && document.querySelector('h1').textContent === 'steps' && document.querySelector('.at-turn').textContent.startsWith('Turn 5 of 5')`)
	b.do(chromedp.KeyEvent("\u0302")) // ←
	b.until(`location.hash === '#turn=4'`)
	if n := b.eval(`String([...document.querySelectorAll('#shown a')].length)`); n != "0" {
		t.Errorf("a run from a file has %s links to the server", n)
	}
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}
