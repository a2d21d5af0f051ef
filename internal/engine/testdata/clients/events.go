package main

import (
	"bufio"
	"context"
	"net/http"
	"strings"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// events reads server-sent events with what everybody has, and publishes the last one.
func events(ctx context.Context, url string) ([]string, error) {
	req, err := http.NewRequestWithContext(flawless.With(ctx, flawless.Stream()), "POST", url, strings.NewReader(`{"stream":true}`))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []string
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		event, is := strings.CutPrefix(lines.Text(), "data: ")
		if !is {
			continue
		}
		all = append(all, event)
		if err := flawless.SetData(event); err != nil {
			return nil, err
		}
	}
	return all, lines.Err()
}
