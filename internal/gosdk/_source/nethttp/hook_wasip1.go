package nethttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	_ "unsafe" // for go:linkname
)

// hook is asked by every http.Transport of a module that was built by flawless build. With go build it is
// this package's alone, and nobody asks.
//
//go:linkname hook net/http.flawlessRoundTrip
var hook func(*http.Transport, *http.Request) (*http.Response, error)

func init() {
	hook = instead
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errSockets
	}}
}

// errSockets is what looking a name up says, as also a dial does in a module that go build has built.
var errSockets = errors.New("guests have no sockets, and the engine looks names up: for an HTTP client build with flawless build, or give it nethttp.Transport")
