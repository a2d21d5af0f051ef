// Package client talks to a Flawless server over its HTTP API.
//
// It hides which protocol is spoken: HTTP/3 where the server answers on it, else HTTP/2 or 1.1 over
// TCP. Refusals come back as errors that wrap a flawless.Code. It repeats nothing by itself; a start
// carries an id, so that the caller can ask again without starting twice.
package client
