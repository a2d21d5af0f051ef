package web

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
)

// TestOtherPagesInABrowser opens each page besides the runs in both themes and three widths, on a server that has something for each.
func TestOtherPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fillPages()
	s.start("wait", "long", 200, nil)
	s.addVersion2()
	b := newBrowser(t)
	check := axe(t)
	pages := append(otherPages[:len(otherPages):len(otherPages)], struct{ name, path string }{"promise", fmt.Sprintf("/runs/asks/promises/%d", s.promise("asks").Call)})
	for _, page := range pages {
		for _, width := range []int64{1440, 1024, 390} {
			theme := "light"
			if width != 1024 { // each theme in the widest and the narrowest layout
				b.look(s, page.name, page.path, width, "dark", check)
			}
			b.look(s, page.name, page.path, width, theme, check)
		}
	}
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestModulesAreAddedInABrowser adds a module from a file, and one that is none.
func TestModulesAreAddedInABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	b := newBrowser(t)
	bin, err := guestModule()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"broken.wasm": []byte("no module"), "other.wasm": bin} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		b.do(chromedp.Navigate(s.URL + "/modules"))
		b.until(`document.querySelector('#upload').checkVisibility()`)
		b.do(chromedp.SetUploadFiles(`#upload [name=file]`, []string{file}))
		b.until(`document.querySelector('#upload [name=name]').value !== ''`)
		b.eval(`document.querySelector('#upload button').click(); ''`)
		if name == "broken.wasm" {
			b.until(`document.querySelector('#upload [role=status]').classList.contains('failed') && document.querySelector('#upload [role=status]').textContent.includes('WebAssembly')`)
			continue
		}
		b.until(`location.pathname === '/modules/other' && document.querySelector('h1').textContent === 'other'`)
	}
}

// TestFormsInABrowser starts a run by its form, checks and moves runs, and uses the menu of a phone.
func TestFormsInABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "short", 72, nil)
	s.until("short", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	s.addVersion2()
	b := newBrowser(t)
	check := axe(t)
	b.do(chromedp.EmulateViewport(390, 900), chromedp.Navigate(s.URL+"/"))
	b.until(`!document.querySelector('#pages').checkVisibility()`)
	b.eval(`document.querySelector('.menu').click(); ''`)
	b.until(`document.querySelector('#pages a[href$="/modules"]').checkVisibility()`)
	b.eval(`document.querySelector('#pages a[href$="/modules"]').click(); ''`)
	b.until(`location.pathname === '/modules' && document.querySelector('h1').textContent === 'Modules'`)
	b.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(s.URL+"/modules/guest/start/order"))
	b.eval(`const f = n => document.getElementsByName(n)[0]; f('in/id').value = 'o-1'; f('in/cents').value = '-1'; document.querySelector('button[value=start]').click(); ''`)
	b.until(`document.querySelector('.fld.bad')?.textContent.includes('cents')`)
	b.check("a form with an error", check)
	b.eval(`document.getElementsByName('in/cents')[0].value = '5'; document.querySelector('button[value=start]').click(); ''`)
	b.until(`location.pathname.startsWith('/runs/') && document.querySelector('.pill')?.textContent.includes('Completed')`)

	b.do(chromedp.Navigate(s.URL + "/modules/guest/upgrade"))
	b.eval(`document.querySelector('button[value=check]').click(); ''`)
	b.until(`document.querySelector('.report h2')?.textContent.includes('1 of 1 open runs go on')`)
	b.until(`!document.querySelector('.doing').checkVisibility()`)
	b.check("the result of a check", check)
	b.eval(`document.querySelector('button[value=move]').click(); ''`)
	b.until(`document.querySelector('.report h2')?.textContent.includes('1 of 1 runs moved')`)
	if wrong := b.problems(); len(wrong) > 1 { // one: Chromium reports the answer 422 to the wrong form
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestThemeIsThereBeforeThePage checks that a page has the chosen theme while it arrives: the answer of an upgrade takes as long as
// the upgrade.
func TestThemeIsThereBeforeThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	up := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/static/console.js") { // never comes
			http.NotFound(w, r)
			return
		}
		up.ServeHTTP(w, r)
	})
	b := newBrowser(t)
	b.do(chromedp.Navigate(s.URL + "/modules"))
	b.eval(`localStorage.setItem('flawless-theme', 'dark'); ''`)
	b.do(chromedp.Navigate(s.URL + "/schedules"))
	b.until(`location.pathname === '/schedules' && document.documentElement.dataset.theme === 'dark'`)
}

// TestPagesFitTheScreen checks what goes wrong at unusual widths: wide tables and timelines use a wide screen, and groups stay
// together on a narrow one.
func TestPagesFitTheScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("charge", "doubt", s.outside.URL+"/hang", nil)
	s.start("declined", "parent", s.outside.URL, nil)
	b := newBrowser(t)
	for _, row := range []struct {
		width      int64
		path, what string
	}{
		{2560, "/runs", `document.querySelector('#list').getBoundingClientRect().right > 2500`},
		{2560, "/runs/parent", `document.querySelector('.tl')?.getBoundingClientRect().right > 2500`},
		{2560, "/runs/parent/diff/doubt", `document.querySelector('.pairs').getBoundingClientRect().right > 2500`},
		{2560, "/settings", `document.querySelector('.panel').getBoundingClientRect().right < 2000`},
		{360, "/", `new Set([...document.querySelectorAll('.key-of')].map(x => x.offsetTop)).size === 1`},
		{500, "/", `new Set([...document.querySelectorAll('.key-of')].map(x => x.offsetTop)).size === 1`},
		{500, "/runs/parent", `document.querySelector('.family li > a').getBoundingClientRect().left < 60`},
		{1440, "/inbox", `!document.querySelector('.for-response').checkVisibility()`},
	} {
		b.do(chromedp.EmulateViewport(row.width, 900), chromedp.Navigate(s.URL+row.path))
		b.until(`document.readyState === 'complete' && (!document.querySelector('#run') || document.querySelector('#run').dataset.ready === 'true')`)
		if b.eval(`String(`+row.what+`)`) != "true" {
			t.Errorf("%s at a width of %d px: not %s", row.path, row.width, row.what)
		}
	}
	b.eval(`document.querySelector('[name=resolution][value=response]').click(); ''`)
	b.until(`document.querySelector('.for-response').checkVisibility()`)
}
