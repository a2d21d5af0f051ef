// Package examine asks a server for what commands show of the past of a run, and reads what people give for its forks.
// It prints nothing.
package examine

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// Answers parses the values of --answer (CALL=FILE) and --status (CALL=STATUS).
func Answers(files, statuses []string) (out []client.GivenAnswer, err error) {
	split := func(s, what string) (int, string, error) {
		call, rest, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(call)
		if !ok || err != nil || n < 1 {
			return 0, "", fmt.Errorf("%q is not CALL=%s, such as 4=%s: %w", s, what, strings.ToLower(what), flawless.Invalid)
		}
		return n, rest, nil
	}
	for _, s := range files {
		n, file, err := split(s, "FILE")
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the answer of call %d: %v: %w", n, err, flawless.Invalid)
		}
		out = append(out, client.GivenAnswer{Call: n, Body: b})
	}
	for _, s := range statuses {
		n, text, err := split(s, "STATUS")
		if err != nil {
			return nil, err
		}
		status, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an HTTP status: %w", text, flawless.Invalid)
		}
		at := slices.IndexFunc(out, func(g client.GivenAnswer) bool { return g.Call == n })
		if at < 0 {
			out = append(out, client.GivenAnswer{Call: n})
			at = len(out) - 1
		}
		out[at].Status = status
	}
	return out, nil
}

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

// Find returns all places in the log of a run that contain a text.
func Find(ctx context.Context, cl *client.Client, id, text string) ([]flawless.Match, error) {
	all := []flawless.Match{}
	for from := uint64(0); ; {
		page, err := cl.Find(ctx, id, text, from, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Matches...)
		if from = page.Next; from == 0 {
			return all, nil
		}
	}
}
