// Package server offers an engine over HTTP: the API under /api/v1, its OpenAPI 3.1 description,
// streams of events, metrics. [Require] keeps those out who have no token.
//
// One handler serves HTTP/1.1, HTTP/2 and HTTP/3. It guarantees that whatever it shows is durable,
// and that every refusal is a problem (RFC 9457) that says what, why and what to do. It decides
// nothing about runs. A client that goes away ends nothing but its own waiting.
package server
