// Package transport sends HTTP requests, and knows which of them can have been noticed.
//
// [Client.Exchange] sends one request over a kept or a new connection, HTTP/1.1 or 2, directly or through a proxy, and
// returns either a complete [Reply] or a [Fault]. A fault says whether a byte of the request has left: if none has, the
// request may be sent again without harm. Nothing in this package, and nothing below it, sends a request twice. That is
// why net/http's Client and Transport are not used: they repeat requests on broken connections.
//
// guard.go passes every address to Options.Policy before a connection to it is made. A server sets that to a function
// that refuses the server's own addresses; without it, all addresses are allowed.
//
// The package knows nothing of calls, answers, retries, redirects or secrets.
package transport
