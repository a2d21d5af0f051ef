// Package client is the Go client of the HTTP API of a Flawless server.
//
// It chooses the protocol: HTTP/3 if the server answers on it, otherwise HTTP/2 or 1.1 over TCP. If the server
// rejects a request, the error wraps a flawless.Code. A request whose answer is lost is repeated if the server
// recognises it by a key, or if repeating it is safe. Any other request is sent once; its error wraps [Lost] and says
// how to find out whether it was carried out.
package client
