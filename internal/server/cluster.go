package server

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
)

// Cluster connects the API with those of the other servers on the same database.
type Cluster struct {
	Peer *peer.Peer
	// Patience is how long a request waits for somebody to own what it is for, such as while another server takes over from
	// one that has crashed. 0 is 20 s, twice the time of a lease.
	Patience time.Duration
}

// HandlerOf returns the API of one server of several: for clients, without authentication (see [Require]), and for requests
// that other servers pass on. Streams end when ctx ends.
func HandlerOf(ctx context.Context, e *engine.Engine, log *slog.Logger, c Cluster) (clients, servers http.Handler) {
	a, _ := newAPI(ctx, e, log, http.NewServeMux())
	a.peer = c.Peer
	f := &forward.Forwarder{Peer: c.Peer, Patience: cmp.Or(c.Patience, 20*time.Second), Inner: a.inner, Rules: func(op string) forward.Rules {
		r := rulesOf(op)
		return forward.Rules{Again: r.again, Look: r.look, OrStore: r.at == ownerOrStore}
	}}
	return guard(log, forStore(e.Health().Store, whileHealthy(e, f))), guard(log, whileHealthy(e, http.HandlerFunc(f.Arrive)))
}

// ownersWord returns an error that sends the request to the owner of a run, which knows more about it than the store says.
// It returns nil at the owner, and if the owner cannot be reached.
func (a *api) ownersWord(ctx context.Context, run string) error {
	if p := forward.Of(ctx); p == nil || p.PassedOn || p.Alone {
		return nil
	}
	if err := a.engine.Owns(run); errors.Is(err, flawless.Elsewhere) {
		return err
	}
	return nil
}

// needShard returns an error that sends a request to another server if this one owns nothing, so that it cannot write. It is for
// operations that answer before they write; the others find out when they do.
func (a *api) needShard(ctx context.Context) error {
	if p := forward.Of(ctx); p == nil || p.PassedOn || len(a.engine.Shards()) > 0 {
		return nil
	}
	return &store.ElsewhereError{Shard: store.ShardOfCaps}
}

// follow is the middleware that notes which operation a request in a cluster is for, and reads what other servers have changed if
// the operation shows it from memory.
func (a *api) follow(c huma.Context, next func(huma.Context)) {
	if p := forward.Of(c.Context()); p != nil {
		p.Op = c.Operation().OperationID
		if inMemory(c.Operation().Path) {
			if err := a.engine.Refresh(c.Context()); err != nil {
				a.write(c, nil, false, err)
				return
			}
		}
	}
	next(c)
}

// inMemory reports whether operations at a path show what servers keep in memory, and any of them changes.
func inMemory(path string) bool {
	for _, at := range []string{"/api/v1/hosts", "/api/v1/limits", "/api/v1/secrets", "/api/v1/modules/{name}/settings"} {
		if strings.HasPrefix(path, at) {
			return true
		}
	}
	return false
}

// watched yields the changes of the runs of this server as they are shown, since a position, and returns its epoch.
func (a *api) watched(ctx context.Context, last forward.Position) (epoch string, changes iter.Seq[forward.Change]) {
	epoch = a.engine.Epoch()
	from, known := last[epoch]
	of := ""
	if known {
		of = epoch
	}
	own := a.engine.Changes(ctx, of, from)
	return epoch, func(yield func(forward.Change) bool) {
		for c, err := range own {
			out := forward.Change{Err: err}
			if err == nil && c.Run != nil {
				out.Run, out.Err = reply.JSON(shown(a.engine, c.Run.Listed()))
			}
			if c.Epoch != "" {
				out.At = forward.Position{c.Epoch: c.N}
			}
			if c.Reset {
				out.Reset.Why = "there were too many changes since then, or the server was started again"
			}
			if !yield(out) || out.Err != nil {
				return
			}
		}
	}
}
