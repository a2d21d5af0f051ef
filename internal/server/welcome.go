package server

import (
	"net/http"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// guide is the URL of the documentation.
const guide = "https://github.com/flawless-engine/flawless/blob/main/docs/README.md"

// welcome answers GET / with a description of the server and links. Browsers get a page of the console there.
func welcome(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Content-Type", "application/json")
	_ = reply.WriteJSON(w, struct {
		Name    string            `json:"name"`
		About   string            `json:"about"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"flawless", "Flawless server: durable execution of code that survives crashes and restarts.", flawless.Version,
		map[string]string{"api": "/api/v1", "openapi": "/openapi.json", "health": "/api/v1/health", "metrics": "/metrics", "docs": guide}})
}
