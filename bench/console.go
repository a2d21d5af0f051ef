package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// console measures what people wait for in a browser: the first pages with many runs, and the page of a run with many calls.
func (b *bench) console(ctx context.Context) error {
	browser, end, err := openBrowser(ctx)
	if err != nil {
		return err
	}
	defer end()
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.begin(ctx, b.sizes.listed, "empty", nil); err != nil {
		return err
	}
	in, err := json.Marshal(map[string]any{"url": b.url, "n": b.sizes.opened})
	if err != nil {
		return err
	}
	if r, _, err := s.Start(ctx, client.Start{Module: "bench", Workflow: "chain", Input: in, ID: "long"}, true); err != nil || r.Status != flawless.Completed {
		return fmt.Errorf("a run of %d calls is %s, %w", b.sizes.opened, r.Status, err)
	}
	console := "http://" + s.socket
	for _, page := range []struct{ name, path string }{{"overview", "/"}, {"runs", "/runs"}} {
		each, err := b.visits(browser, console+page.path, firstPaint)
		if err != nil {
			return fmt.Errorf("%s: %w", page.name, err)
		}
		b.put(figure{What: fmt.Sprintf("%s with %s runs, until something is painted", page.name, thousands(float64(b.sizes.listed))), Value: median(each), Unit: "ms", Samples: each, Goal: &goal{Limit: 500, Target: 200}})
	}
	each, err := b.visits(browser, console+"/runs/long", opened)
	if err != nil {
		return fmt.Errorf("a run: %w", err)
	}
	name := fmt.Sprintf("a run of %s calls", thousands(float64(b.sizes.opened)))
	b.put(figure{What: name + ", until all of it can be used", Value: median(each), Unit: "ms", Samples: each, Goal: &goal{Limit: 1000}})
	each, err = b.visits(browser, console+"/runs/long", dropped)
	if err != nil {
		return fmt.Errorf("scrolling: %w", err)
	}
	b.put(figure{What: name + ", frames dropped while its log scrolls", Value: median(each), Unit: "%", Samples: each, Goal: &goal{Limit: 10, Target: 1}})
	return b.floors(ctx)
}

// Scripts that give one number of a page that is being opened.
const (
	// firstPaint is the time of the first content, from the beginning of the navigation.
	firstPaint = `new Promise(done => {
		const found = () => performance.getEntriesByName('first-contentful-paint')[0]
		const look = () => found() ? done(String(found().startTime)) : setTimeout(look, 10)
		look()
	})`
	// opened is the time until the log of a run has been read and drawn, from the beginning of the navigation.
	opened = `new Promise(done => {
		const look = () => document.querySelector('#run')?.dataset.ready === 'true' ? done(String(performance.now())) : setTimeout(look, 5)
		look()
	})`
	// dropped is the percentage of frames that the log of a run misses while it scrolls for three seconds, beside the
	// usual interval of this screen.
	dropped = `new Promise(done => {
		const look = () => {
			const log = document.querySelector('.log')
			if (document.querySelector('#run')?.dataset.ready !== 'true' || !log) return setTimeout(look, 20)
			const at = []
			const frame = now => {
				at.push(now)
				log.scrollTop += 40
				if (now - at[0] < 3000) return requestAnimationFrame(frame)
				const gaps = at.slice(1).map((t, i) => t - at[i]), usual = 1000 / 60
				const missed = gaps.reduce((sum, gap) => sum + Math.max(0, Math.round(gap / usual) - 1), 0)
				done(String(100 * missed / (missed + gaps.length)))
			}
			requestAnimationFrame(frame)
		}
		look()
	})`
)

// visits opens a page several times, and returns what a script says of it. The first time is not counted: it fills the
// cache of the browser.
func (b *bench) visits(browser context.Context, url, script string) (each []float64, err error) {
	for k := range b.sizes.repeats + 1 {
		if err := chromedp.Do(browser, chromedp.Navigate("about:blank"), chromedp.Navigate(url)); err != nil {
			return nil, err
		}
		text, err := chromedp.Run(browser, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			return nil, err
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("the page says %q: %w", text, err)
		}
		if k > 0 {
			each = append(each, value)
		}
	}
	return each, nil
}

// openBrowser starts Chromium.
func openBrowser(ctx context.Context) (context.Context, func(), error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		return nil, nil, errors.New("there is no Chromium: install it, or leave the section console out")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	alloc, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 900))...)
	browser, end := chromedp.NewContext(alloc)
	return browser, func() { end(); stop(); cancel() }, nil
}
