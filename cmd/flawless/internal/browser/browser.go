// Package browser opens pages of the console in the browser of the user.
package browser

import (
	"context"
	"net/url"
	"os/exec"
	"runtime"
	"time"

	"github.com/flawless-engine/flawless/internal/web/session"
)

// Address returns the address of the page of a run, or of the first page if run is "". at is the URL of the server. With
// a token, the address logs the browser in once, see [session.Keys.Code].
func Address(at, token, run string) string {
	path := "/"
	if run != "" {
		path = "/runs/" + url.PathEscape(run)
	}
	if token == "" {
		return at + path
	}
	q := url.Values{"code": {session.New(token).Code(time.Now())}, "to": {path}}
	return at + "/login?" + q.Encode()
}

// Open opens an address in the browser, and returns once the browser has it.
func Open(ctx context.Context, address string) error {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	return exec.CommandContext(ctx, name, args...).Run()
}
