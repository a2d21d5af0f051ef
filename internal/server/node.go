package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/reply"
)

// NodePath names a node in a path.
type NodePath struct {
	Name string `path:"name" doc:"name of the node, or its id"`
}

func (a *api) nodes() {
	huma.Register(a.huma, operation("list-nodes", http.MethodGet, "/nodes", "List the servers on the database, with figures that are a few seconds old"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.NodeStatus], error) {
			all, err := a.engine.Nodes(ctx)
			if err != nil {
				return nil, reply.From(err)
			}
			return byName("/nodes", all, *in, func(n flawless.NodeStatus) string { return n.Name + " " + n.ID }), nil
		})
	for _, op := range []struct {
		id, path, summary string
		drain             bool
	}{
		{"drain-node", "/nodes/{name}/drain", "Have a server give its work to the others; it begins within seconds", true},
		{"undrain-node", "/nodes/{name}/undrain", "Have a server that was drained take work again", false},
	} {
		huma.Register(a.huma, operation(op.id, http.MethodPost, op.path, op.summary),
			func(ctx context.Context, in *NodePath) (*body[flawless.NodeStatus], error) {
				return bodyOf(a.engine.DrainNode(ctx, in.Name, op.drain))
			})
	}
}

// live answers whether the process works. It touches nothing else.
func live(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// ready answers whether clients should use this server.
func ready(e *engine.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := e.Ready(r.Context()); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plain(w, http.StatusOK, strings.TrimSuffix("ok; "+e.Health().History, "; "))
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
