// Command crawl fetches many pages, a few at a time.
package main

import (
	"context"
	"fmt"
	"sync"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Job is the input.
type Job struct {
	Base  string `json:"base" doc:"URL to which 1, 2, 3, ... is appended"`
	Pages int    `json:"pages,omitempty" doc:"how many; 50 if it is missing"`
}

// Result is the output.
type Result struct {
	Pages []Page `json:"pages"`
	Bytes int    `json:"bytes" doc:"of all pages together"`
	Bad   int    `json:"bad" doc:"pages that could not be had"`
}

// Page is one page.
type Page struct {
	URL    string `json:"url"`
	Status int    `json:"status,omitempty"`
	Bytes  int    `json:"bytes,omitempty"`
	Error  string `json:"error,omitempty"`
}

const (
	atOnce   = 8
	maxPages = 10_000
)

func main() {
	flawless.Workflow("crawl", crawl, flawless.Doc("Fetches pages, eight at a time, and tells their sizes."))
}

func crawl(ctx context.Context, job Job) (Result, error) {
	if job.Pages == 0 {
		job.Pages = 50
	}
	if job.Pages < 0 || job.Pages > maxPages {
		return Result{}, fmt.Errorf("%d pages are asked for; ask for 1 to %d", job.Pages, maxPages)
	}
	pages := make([]Page, job.Pages)
	free := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range pages {
		free <- struct{}{}
		all.Go(func() {
			pages[i] = fetch(ctx, fmt.Sprint(job.Base, i+1))
			<-free
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return sum(pages), nil
}

func fetch(ctx context.Context, url string) Page {
	resp, err := flawless.Get(ctx, url)
	if err != nil {
		return Page{URL: url, Error: err.Error()}
	}
	return Page{URL: url, Status: resp.Status, Bytes: len(resp.Body)}
}

func sum(pages []Page) Result {
	r := Result{Pages: pages}
	for _, p := range pages {
		r.Bytes += p.Bytes
		if p.Error != "" || p.Status >= 400 {
			r.Bad++
		}
	}
	return r
}
