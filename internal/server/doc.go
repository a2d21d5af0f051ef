// Package server provides the HTTP API of an engine under /api/v1, its OpenAPI 3.1 description, streams of events,
// the operations of flawless.dev, and metrics. [Require] adds authentication by token.
//
// It guarantees that everything it shows is durable, that credentials are masked, and that every refusal is a
// problem (RFC 9457) that says what failed, why and what to do. It decides nothing about runs. If a client
// disconnects, only its own waiting ends. Package listen has the connections, package reply the refusals.
package server
