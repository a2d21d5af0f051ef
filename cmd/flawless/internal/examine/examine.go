// Package examine asks a server for what commands show of the past of a run. It prints
// nothing.
package examine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// Source returns a function that finds the file of a position in the source of a module, "" if it is not there. It
// asks for each file once.
func Source(ctx context.Context, cl *client.Client, module, digest string) func(flawless.Site) string {
	known := map[string]string{}
	return func(at flawless.Site) string {
		text, asked := known[at.File]
		if !asked && at.File != "" {
			s, err := cl.Source(ctx, module, client.SourceOf{Digest: digest, File: at.File})
			if err == nil && len(s.Files) == 1 {
				text = s.Files[0].Text
			}
			known[at.File] = text
		}
		return text
	}
}

// Find returns all places in the log of a run that contain a text or meet a condition, or only the first one.
func Find(ctx context.Context, cl *client.Client, id, text string, first bool) ([]flawless.Match, error) {
	all, limit := []flawless.Match{}, 1000
	if first {
		limit = 1
	}
	for from := uint64(0); ; {
		page, err := cl.Find(ctx, id, text, from, limit)
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Matches...); first && len(all) > 0 {
			return all[:1], nil
		}
		if from = page.Next; from == 0 {
			return all, nil
		}
	}
}
