package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/vault"
)

// withFront is the environment variable that puts another server, which owns nothing, in front of each server of the tests.
const withFront = "FLAWLESS_TEST_FRONT"

// TestThroughAnotherServer runs the tests of this package once more. Their requests go to a server that owns nothing.
func TestThroughAnotherServer(t *testing.T) {
	t.Parallel()
	if os.Getenv(withFront) != "" || testing.Short() {
		t.Skip("this is the second run already, or a short one")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout=10m")
	again.Env = append(os.Environ(), withFront+"=1")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// opened has how the engines of the tests were opened.
var opened sync.Map // *engine.Engine → engine.Options

// openEngine opens an engine. Tests use it so that another server can be put in front of it.
func openEngine(ctx context.Context, o engine.Options) (*engine.Engine, error) {
	if o.Owner == "" {
		o.Owner = "owner"
	}
	e, err := engine.Open(ctx, o)
	if err == nil {
		opened.Store(e, o)
	}
	return e, err
}

// handlerFor returns the API of an engine, or that of a server in front of it.
func handlerFor(ctx context.Context, t testing.TB, e *engine.Engine, log *slog.Logger) http.Handler {
	t.Helper()
	if os.Getenv(withFront) == "" {
		return Handler(ctx, e, log)
	}
	return frontOf(ctx, t, e, log)
}

// frontOf makes an engine a node, and returns the API of another one, which owns nothing.
func frontOf(ctx context.Context, t testing.TB, e *engine.Engine, log *slog.Logger) http.Handler {
	t.Helper()
	kept, _ := opened.Load(e)
	o := kept.(engine.Options)
	behind := nodeOf(t, o.Store, o.Owner)
	_, servers := HandlerOf(ctx, e, log, Cluster{Peer: behind})
	behind.Serve(peer.Service{Engine: e, API: servers})

	p := nodeOf(t, o.Store, "front")
	o.Owner, o.Claim, o.Valid, o.Peers = "front", store.ByForce(), func() bool { return true }, p
	if dir, has := vaults.Load(o.Vault); has {
		var err error
		if o.Vault, err = vault.New(ctx, o.Store, vault.Options{Dir: dir.(string)}); err != nil {
			t.Fatal(err)
		}
	}
	front, err := engine.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Kill)
	clients, servers := HandlerOf(ctx, front, log, Cluster{Peer: p})
	p.Serve(peer.Service{Engine: front, API: servers})
	return clients
}

// alone skips a test of what one server does by itself, if another one is in front of it.
func alone(t *testing.T) {
	t.Helper()
	if os.Getenv(withFront) != "" {
		t.Skip("it looks into the server behind the front")
	}
}

// vaults has the directories of the vaults of the tests.
var vaults sync.Map // *vault.Vault → string

func newVault(t *testing.T, st *store.Store, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.New(t.Context(), st, vault.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	vaults.Store(v, dir)
	return v
}

// nodeOf makes the row of a node, and its connections to others.
func nodeOf(t testing.TB, st *store.Store, id string) *peer.Peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	key, err := peer.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	row := flawless.Node{ID: id, Name: id, Address: l.Addr().String(), Beat: 1, Fingerprint: key.Fingerprint()}
	if err := st.PutNode(context.Background(), nil, &row); err != nil {
		t.Fatal(fmt.Errorf("the row of node %s: %w", id, err))
	}
	p := peer.New(peer.Options{Store: st, Self: id, Key: key, Listener: l})
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(now)
	})
	return p
}
