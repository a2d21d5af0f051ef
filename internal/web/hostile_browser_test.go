package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
)

// TestIdsAreOnePartOfAPath checks that the pages of runs with odd ids lead to themselves and read their own log.
func TestIdsAreOnePartOfAPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	b := newBrowser(t)
	for _, id := range []string{"a#b?c=d", "%2e%2e", "a%2Fb", `a"b'c&d`, "a+b;c", "日本語🚀", "{{.}}", "__proto__"} {
		s.start("echo", id, "x", nil)
		s.start("fail", id+"-fork-1", "x", nil)
		for _, page := range []string{"", "/fork?turn=0", "/diff/" + url.PathEscape(id+"-fork-1")} {
			b.do(chromedp.Navigate(s.URL + "/runs/" + url.PathEscape(id) + page))
			b.until(`document.readyState === 'complete' && (!document.querySelector('#run') || document.querySelector('#run').dataset.ready === 'true')`)
			// Every link and form with the id in its path is of this run, whatever a browser makes of it.
			if wrong := b.eval(`[...document.querySelectorAll('main [href], main [action]')].map(e => new URL(e.getAttribute('href') || e.getAttribute('action'), location)).filter(u => u.pathname.includes('/runs/') && decodeURIComponent(u.pathname.split('/runs/')[1].split('/')[0]).replace(/-fork-1$/, '') !== ` + quote(id) + `).join(' ')`); wrong != "" {
				t.Errorf("the page %s of %s leads to %s", page, id, wrong)
			}
		}
	}
	b.quiet()
}

// quote returns a text as JavaScript has it.
func quote(text string) string {
	return `'` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + `'`
}

// TestLongValuesAreFetched checks that the page of a run stays small if its values are long, and that they are there on request.
func TestLongValuesAreFetched(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("echo", "long", strings.Repeat("é", 500_000), nil)
	if _, page := s.get("/runs/long"); len(page) > 100_000 {
		t.Errorf("the page has %d bytes", len(page))
	} else {
		wants(t, "the page without a script", page, `log?limit=1">As JSON</a>, 1,000,002 bytes`, `data">As JSON</a>`)
	}
	b := newBrowser(t)
	b.open(s, "/runs/long")
	for _, name := range []string{"Input", "Output", "Data"} {
		b.eval(`{ const d = document.querySelector('[data-payload=` + name + `]'); d.closest('details').open = true; d.querySelector('.btn').click() } ''`)
		b.until(`/976\.6 KiB|977\.\d KiB/.test(document.querySelector('[data-payload=` + name + `]').textContent)`)
		if n := b.eval(`String(document.querySelector('[data-payload=` + name + `]').textContent.length)`); len(n) > 6 {
			t.Errorf("%s is shown with %s characters", name, n)
		}
	}
	b.quiet()
}

// TestDecisionsWithoutAText checks what people may leave empty when they decide about many calls.
func TestDecisionsWithoutAText(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 4)
	b := newBrowser(t)
	for i, resolution := range []string{"error", "response"} {
		b.do(chromedp.Navigate(s.URL + "/inbox"))
		b.until(`document.querySelector('#live').textContent === 'live'`)
		b.eval(`[...document.querySelectorAll('[name=pick]')].slice(0, 2).forEach(x => x.click()); document.querySelector('[value=` + resolution + `]').click(); document.querySelector('#decide').requestSubmit(); ''`)
		b.until(`document.querySelector('#manydo') !== null && document.readyState === 'complete'`)
		b.eval(`document.querySelector('#manydo').requestSubmit(); ''`)
		b.until(`document.querySelector('#manydo').dataset.done === 'true'`)
		if said := b.eval(`document.querySelector('#done').textContent`); said != "2 of 2 changed" {
			t.Errorf("decision %d, %s: %q", i, resolution, said)
		}
	}
	if all, _, err := s.client.Runs(t.Context(), flawless.Filter{Status: []flawless.Status{flawless.Unresolved}}); err != nil || len(all) != 1 {
		t.Errorf("%d runs need a decision: %v", len(all), err)
	}
	b.quiet()
}
