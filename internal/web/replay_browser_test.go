package web

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// open goes to the page of a run and waits until its log is there.
func (b *browser) open(s *site, path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.URL+path))
	b.until(`document.querySelector('#run').dataset.ready === 'true'`)
}

// TestSliderReplaysTheRun checks that any past turn can be shown: where the code stood, and what the data was.
func TestSliderReplaysTheRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("steps", "steps", 6, nil)
	b := newBrowser(t)
	b.open(s, "/runs/steps#turn=3")
	b.until(`document.querySelector('.replay').textContent.includes('main.go:')`)
	if text := b.eval(`document.querySelector('.at-turn').textContent`); !strings.HasPrefix(text, "Turn 3 of 7") {
		t.Errorf("the slider says %q", text)
	}
	b.eval(`document.querySelector('[data-part=Data]').click(); ''`)
	if text := b.eval(`[...document.querySelectorAll('.diffs li')].map(l => l.className + ' ' + l.querySelector('.path').textContent + ' ' + l.querySelector('ins').textContent).join()`); text != "added done[1] 1,changed n 2" {
		t.Errorf("the changes of turn 3 are %q", text)
	}
	b.do(chromedp.KeyEvent("\u0303")) // →
	b.until(`location.hash === '#turn=4' && document.querySelector('.transport input[type=range]').value === '4'`)
	b.eval(`const r = document.querySelector('.transport input[type=range]'); r.value = 7; r.dispatchEvent(new Event('input')); ''`)
	b.until(`location.hash === '#turn=7'`)
	b.eval(`document.querySelector('[data-part=Source]').click(); ''`)
	b.until(`document.querySelector('.replay').textContent.includes('The run ended in this turn')`)
	for _, row := range []struct{ kind, text, want string }{
		{"data", `"n":4`, "#turn=5"}, {"field", "n=5", "#turn=6"}, {"field", "done[2]", "#turn=4"}, {"line", "step 1", "#turn=2"}, {"any", "nobody has this", "#turn=2"},
	} {
		b.eval(`{ const f = document.querySelector('.finder'); f.querySelector('select').value = '` + row.kind + `'; f.querySelector('input').value = '` + row.text + `'; f.requestSubmit() } ''`)
		if row.want == "#turn=2" {
			b.until(`document.querySelector('.transport > [role=status]').textContent !== ''`)
		}
		b.until(`location.hash.startsWith('` + row.want + `')`)
	}
	b.until(`document.querySelector('.transport > [role=status]').textContent.startsWith('No turn has it')`)
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestFailedRunShowsTheCall checks that the page of a run that has failed shows why, and the call whose answer it could not take.
func TestFailedRunShowsTheCall(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("declined", "declined", s.outside.URL, nil)
	b := newBrowser(t)
	b.open(s, "/runs/declined")
	b.until(`document.querySelector('.replay').textContent.includes('The run failed in this turn: no parcel')`)
	b.until(`document.querySelector('.replay').textContent.includes('given the answer of the call here') && /main\.go:\d/.test(document.querySelector('.replay').textContent)`)
	if text := b.eval(`document.querySelector('.tl').textContent`); !strings.Contains(text, "start echo") {
		t.Errorf("the timeline does not say which workflow was started: %q", text)
	}
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}

// TestManyGoroutinesAreNotDenied checks that the pane does not blame the module if more goroutines wait than a replay lists.
func TestManyGoroutinesAreNotDenied(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "wide", map[string]any{"url": s.outside.URL, "n": 2500, "each": 2500}, nil)
	b := newBrowser(t)
	b.open(s, "/runs/wide#turn=1")
	b.until(`document.querySelector('.replay').textContent.includes('goroutines or tasks')`)
	if text := b.eval(`document.querySelector('.replay').textContent`); strings.Contains(text, "This module does not tell") {
		t.Errorf("the pane says %q", text)
	}
}

// TestOneCursor checks that a link to a turn in the middle of a long run brings timeline and log there.
func TestOneCursor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "turns", map[string]any{"url": s.outside.URL, "n": 400, "each": 1}, nil)
	b := newBrowser(t)
	b.open(s, "/runs/turns#turn=200")
	b.until(`document.querySelector('.tl-axis [data-turn="200"] .b-ink') && [...document.querySelectorAll('.tl-label .n')].some(n => n.textContent === '201')`)
	b.until(`document.querySelector('.ent.cur')?.textContent.includes('Turn 200')`)
	b.do(chromedp.KeyEvent("\u0303")) // →
	b.until(`document.querySelector('.tl-axis [data-turn="201"] .b-ink') && location.hash === '#turn=201'`)
	if wrong := b.problems(); len(wrong) > 0 {
		t.Errorf("the browser reports %q", wrong)
	}
}
