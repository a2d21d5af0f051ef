package nethttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	_ "unsafe" // for go:linkname
)

// hook is called by every http.Transport of a module built with flawless build. With go build, nothing calls it.
//
//go:linkname hook net/http.flawlessRoundTrip
var hook func(*http.Transport, *http.Request) (*http.Response, error)

func init() {
	hook = instead
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errSockets
	}}
}

// errSockets is the error of name lookups, and of dialing in a module built with go build.
var errSockets = errors.New("guests have no sockets, and the engine looks up names: for an HTTP client, build with flawless build or use nethttp.Transport")
