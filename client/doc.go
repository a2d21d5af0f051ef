// Package client talks to a Flawless server over its HTTP API.
//
// It hides which protocol is spoken: HTTP/3 where the server answers on it, else HTTP/2 or 1.1 over
// TCP. Refusals come back as errors that wrap a flawless.Code. A
// request whose answer is lost is repeated where the server knows it by a key, or it does no harm twice;
// every other one is sent once, and its error wraps [Lost] and says how to find out what was done.
package client
