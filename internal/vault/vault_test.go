package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func opened(t *testing.T, kv store.KV, o Options) *Vault {
	t.Helper()
	v, err := tryOpen(t, kv, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func tryOpen(t *testing.T, kv store.KV, o Options) (*Vault, error) {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(t.Context(), s, o)
	if err != nil {
		return nil, err
	}
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return v, v.Own(t.Context(), l)
}

func set(t *testing.T, v *Vault, name, value string, hosts ...string) {
	t.Helper()
	if _, err := v.Set(t.Context(), name, hosts, value); err != nil {
		t.Fatal(err)
	}
}

// value returns the value of a secret, or its problem.
func value(v *Vault, name string) string {
	for _, s := range v.Open() {
		if s.Name == name {
			return s.Value + s.Problem
		}
	}
	return "none"
}

// dump returns everything in a database.
func dump(t *testing.T, kv store.KV) string {
	t.Helper()
	var b strings.Builder
	for item, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s=%s\n", item.Key, item.Value)
	}
	return b.String()
}

func newKey(fill byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(fill), keySize)))
}

func TestSecretIsStoredAndRead(t *testing.T) {
	t.Parallel()
	kv, dir := mem.New(), t.TempDir()
	v := opened(t, kv, Options{Dir: dir})
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	set(t, v, "OTHER", "another one", "api.example.com", "*.example.org:8443")
	if strings.Contains(dump(t, kv), "sesame") {
		t.Error("the database holds the value")
	}
	if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the key: %v %v", info.Mode(), err)
	}
	v = opened(t, kv, Options{Dir: dir})
	if value(v, "TOKEN") != "open sesame" || value(v, "OTHER") != "another one" {
		t.Errorf("after opening it again: %q", v.Open())
	}
	if text := fmt.Sprintf("%v %+v %#v", v.Open(), v.Open()[0], v.Open()); strings.Contains(text, "sesame") || strings.Contains(text, "another one") {
		t.Errorf("it prints its value: %s", text)
	}
	set(t, v, "TOKEN", "close sesame")
	all, err := v.List(t.Context())
	if err != nil || len(all) != 2 || all[1].Name != "TOKEN" || all[1].Hosts[0] != "api.example.com" || value(v, "TOKEN") != "close sesame" {
		t.Errorf("after a change: %+v %v", all, err)
	}
	if err := v.Remove(t.Context(), "TOKEN"); err != nil || value(v, "TOKEN") != "none" {
		t.Errorf("after its removal: %v %v", v.Open(), err)
	}
	if err := v.Remove(t.Context(), "TOKEN"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("removing it again: %v", err)
	}
}

func TestInvalidSecretsAreRefused(t *testing.T) {
	t.Parallel()
	v := opened(t, mem.New(), Options{Dir: t.TempDir()})
	for _, row := range []struct{ name, secret, host, value, want string }{
		{"no name", "", "a.example.com", "long enough", "name"},
		{"a name with a space", "A B", "a.example.com", "long enough", "name"},
		{"a long name", strings.Repeat("A", 101), "a.example.com", "long enough", "name"},
		{"no host", "A", "", "long enough", "--host"},
		{"a path", "A", "a.example.com/x", "long enough", "is not a host name"},
		{"a scheme", "A", "ftp://a.example.com", "long enough", "scheme"},
		{"a port", "A", "a.example.com:0", "long enough", "port"},
		{"every host", "A", "*", "long enough", "is not a host name"},
		{"a top-level domain", "A", "*.com", "long enough", "top-level"},
		{"a short value", "A", "a.example.com", "short7!", "7 bytes"},
		{"no value", "A", "a.example.com", "", "0 bytes"},
		{"a long value", "A", "a.example.com", strings.Repeat("x", flawless.MaxSecretValue+1), "65537 bytes"},
		{"bytes", "A", "a.example.com", "\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc", "UTF-8"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var hosts []string
			if row.host != "" {
				hosts = []string{row.host}
			}
			_, err := v.Set(t.Context(), row.secret, hosts, row.value)
			if !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), row.want) || row.value != "" && strings.Contains(err.Error(), row.value) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestWorldReadableKeyIsRefused(t *testing.T) {
	t.Parallel()
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true} {
		dir := t.TempDir()
		file := filepath.Join(dir, FileName)
		if err := os.WriteFile(file, []byte(newKey('k')), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(t, mem.New(), Options{Dir: dir}); errors.Is(err, flawless.Refused) != refused {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestInvalidKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]string{"no key": ",", "a short key": "c2hvcnQ=", "text": "open sesame", "a good and a bad one": newKey('k') + ",x"} {
		if _, err := tryOpen(t, mem.New(), Options{Env: env}); !errors.Is(err, flawless.Invalid) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongKeyDecryptsNothing(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	set(t, opened(t, kv, Options{Env: newKey('a')}), "TOKEN", "open sesame", "api.example.com")
	v := opened(t, kv, Options{Env: newKey('b')})
	if got := value(v, "TOKEN"); !strings.Contains(got, "is missing") {
		t.Errorf("with another key it is %q", got)
	}
	v = opened(t, kv, Options{Dir: t.TempDir()})
	if _, err := v.Set(t.Context(), "NEW", []string{"a.example.com"}, "long enough"); !errors.Is(err, flawless.Conflict) {
		t.Errorf("a new key beside secrets of a lost one: %v", err)
	}
}

func TestHostsOfASecretAreAuthenticated(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	v := opened(t, kv, Options{Env: newKey('a')})
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	sealed, err := v.store.Secrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evil := sealed[0]
	evil.Hosts = []string{"evil.example.com"}
	if err := v.store.ChangeSecrets(t.Context(), v.lease, []store.SecretChange{{Before: &sealed[0], After: &evil}}); err != nil {
		t.Fatal(err)
	}
	if got := value(opened(t, kv, Options{Env: newKey('a')}), "TOKEN"); !strings.Contains(got, "changed in the database") {
		t.Errorf("it is %q", got)
	}
}

func TestKeyRotationThroughEnvironment(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	v := opened(t, kv, Options{Env: newKey('a')})
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	if _, _, err := v.Rotate(t.Context(), ""); !errors.Is(err, flawless.Conflict) {
		t.Errorf("with one key: %v", err)
	}
	v = opened(t, kv, Options{Env: newKey('b') + "," + newKey('a')})
	if _, n, err := v.Rotate(t.Context(), ""); err != nil || n != 1 {
		t.Errorf("it is %d %v", n, err)
	}
	if got := value(opened(t, kv, Options{Env: newKey('b')}), "TOKEN"); got != "open sesame" {
		t.Errorf("with the new key it is %q", got)
	}
}

// limited is a database that accepts a limited number of writes.
type limited struct {
	store.KV
	left int
}

func (l *limited) Apply(ctx context.Context, b *store.Batch) error {
	if l.left--; l.left < 0 {
		return errors.New("the server is dead")
	}
	return l.KV.Apply(ctx, b)
}

func TestCrashDuringRotationKeepsSecrets(t *testing.T) {
	t.Parallel()
	kv, dir := mem.New(), t.TempDir()
	v := opened(t, kv, Options{Dir: dir})
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	old := v.ring.keys[0].id

	dying := opened(t, &limited{KV: kv, left: 1}, Options{Dir: dir}) // after writing the file, before writing the database
	if _, _, err := dying.Rotate(t.Context(), ""); err == nil {
		t.Fatal("it did not die")
	}
	if b, _ := os.ReadFile(filepath.Join(dir, FileName)); strings.Count(string(b), "\n") != 2 {
		t.Fatalf("the file has %q", b)
	}
	v = opened(t, kv, Options{Dir: dir})
	if value(v, "TOKEN") != "open sesame" || len(v.ring.keys) != 1 || v.ring.keys[0].id == old {
		t.Errorf("after a crash: %q, keys %d", value(v, "TOKEN"), len(v.ring.keys))
	}

	before := v.ring.keys // after writing the database, before cleaning up the file
	if _, _, err := v.Rotate(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := v.ring.write(append(v.ring.keys, before...)); err != nil {
		t.Fatal(err)
	}
	v = opened(t, kv, Options{Dir: dir})
	if value(v, "TOKEN") != "open sesame" || len(v.ring.keys) != 1 {
		t.Errorf("after the second crash: %q, keys %d", value(v, "TOKEN"), len(v.ring.keys))
	}
}

func TestLostLeaseCannotChangeSecrets(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	keys := Options{Env: newKey('a') + "," + newKey('b')}
	v := opened(t, kv, keys)
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	opened(t, kv, keys) // another server claims the store
	before := dump(t, kv)
	_, err := v.Set(t.Context(), "TOKEN", nil, "another one")
	if !errors.Is(err, flawless.Fenced) {
		t.Errorf("setting: %v", err)
	}
	if err := v.Remove(t.Context(), "TOKEN"); !errors.Is(err, flawless.Fenced) {
		t.Errorf("removing: %v", err)
	}
	if after := dump(t, kv); after != before {
		t.Errorf("the database has changed:\n%s\nwas\n%s", after, before)
	}
}

// TestRepeatedRotationMakesOneKey: a request whose answer was lost gets it when it is sent again.
func TestRepeatedRotationMakesOneKey(t *testing.T) {
	t.Parallel()
	v := opened(t, mem.New(), Options{Dir: t.TempDir()})
	set(t, v, "TOKEN", "open sesame", "api.example.com")
	keys := map[string]bool{}
	for _, row := range []struct {
		request string
		keys    int // different ones so far
	}{{"first", 1}, {"first", 1}, {"second", 2}, {"second", 2}, {"", 3}, {"", 4}} {
		k, n, err := v.Rotate(t.Context(), row.request)
		keys[k] = true
		if err != nil || n != 1 || len(keys) != row.keys || v.Keys()[0] != k {
			t.Errorf("request %q: key %s of %v, %d secrets, %v; want %d keys so far", row.request, k, v.Keys(), n, err, row.keys)
		}
	}
	if value(v, "TOKEN") != "open sesame" {
		t.Errorf("the secret is %q", value(v, "TOKEN"))
	}
}
