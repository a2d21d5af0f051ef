package engine

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/vault"
)

// TestSettingsHoldOnAllServers: what one server changes, the others use after their next Refresh; changes of several servers
// at once are all kept.
func TestSettingsHoldOnAllServers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kv, m, all := several(t, 2, Options{})
	withVault := func(name string, share int) *Engine {
		st, err := store.Open(t.Context(), kv)
		if err != nil {
			t.Fatal(err)
		}
		v, err := vault.New(t.Context(), st, vault.Options{Dir: dir, Env: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
		if err != nil {
			t.Fatal(err)
		}
		all[share].Kill()
		return joinMesh(t, kv, m, name, Options{Vault: v}, shareOf(share, 2)...)
	}
	a, b := withVault("a", 0), withVault("b", 1)
	refresh(t, a, b)
	var both sync.WaitGroup
	for _, do := range []func() error{
		func() error {
			_, err := a.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 3 })
			return err
		},
		func() error {
			ms := int64(5000)
			_, err := b.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.RetryForMS = &ms })
			return err
		},
		func() error {
			_, err := a.Policy().ChangeHost(t.Context(), "a.test", func(h *flawless.Host) { h.KeyMS = 1000 })
			return err
		},
		func() error {
			_, err := b.Policy().ChangeHost(t.Context(), "b.test", func(h *flawless.Host) { h.KeyMS = 2000 })
			return err
		},
		func() error {
			_, err := a.SetSecret(t.Context(), "A", []string{"a.test"}, "a long value of a")
			return err
		},
		func() error {
			_, err := b.SetSecret(t.Context(), "B", []string{"b.test"}, "a long value of b")
			return err
		},
	} {
		both.Go(func() {
			if err := do(); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	refresh(t, a, b)
	for name, e := range map[string]*Engine{"a": a, "b": b} {
		if s, err := e.Settings(t.Context(), "guest"); err != nil || s.Concurrency != 3 || s.RetryForMS == nil {
			t.Errorf("%s has the settings %+v, %v", name, s, err)
		}
		if hosts := e.Policy().Hosts(); len(hosts) != 2 {
			t.Errorf("%s has the hosts %+v", name, hosts)
		}
		v, err := e.Secrets()
		if err != nil {
			t.Fatal(err)
		}
		if open := v.Open(); len(open) != 2 || open[0].Value == "" || open[1].Value == "" {
			t.Errorf("%s has the secrets %+v", name, open)
		}
	}
	v, err := a.Secrets()
	if err == nil {
		err = v.Remove(t.Context(), "B")
	}
	if err == nil {
		err = a.Policy().RemoveHost(t.Context(), "b.test")
	}
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, b)
	other, _ := b.Secrets()
	if open := other.Open(); len(open) != 1 {
		t.Errorf("after one was removed, b has the secrets %+v", open)
	}
	if _, err := b.Policy().Host("b.test"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("after they were removed, b has the settings of a host: %v", err)
	}
	b.Kill()
	if err := b.Refresh(context.Background()); err == nil {
		t.Error("an engine that has stopped reads settings")
	}
}

// refresh makes engines read what others have changed, as they do with each renewal of their leases.
func refresh(t *testing.T, all ...*Engine) {
	t.Helper()
	for _, e := range all {
		if err := e.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
