package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options says where the keys are. Dir is required.
type Options struct {
	Dir string           // working directory with the key file
	Env string           // keys, newest first, separated by commas; they take precedence over the file
	Log *slog.Logger     // nil discards
	Now func() time.Time // nil is time.Now
}

// Vault stores the secrets of one store. All methods may be called concurrently.
type Vault struct {
	store *store.Store
	now   func() time.Time

	mu    sync.Mutex // held during changes of secrets or keys
	ring  ring
	lease *store.Lease
	open  atomic.Pointer[[]flawless.OpenSecret]
	last  rotation
	// has returns an error if other servers on the store lack the key with an id; nil if there are none.
	has func(ctx context.Context, id string) error
}

// rotation is the result of a rotation of the key, and the request that it was for; "" is none.
type rotation struct {
	request, key string
	secrets      int
}

// New opens the vault of a store. It returns [flawless.Refused] if other users can read the key file, and
// [flawless.Invalid] for malformed keys. Secrets whose key is missing are no error: List reports them with a problem.
// Call [Vault.Own] before any change.
func New(ctx context.Context, s *store.Store, o Options) (*Vault, error) {
	v := &Vault{store: s, now: o.Now}
	if v.now == nil {
		v.now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if v.ring, err = openRing(o.Dir, o.Env); err != nil {
		return nil, err
	}
	if err := v.refresh(ctx); err != nil {
		return nil, err
	}
	for _, one := range v.Open() {
		if one.Problem != "" {
			o.Log.Error("secret cannot be used", "secret", one.Name, "reason", one.Problem)
		}
	}
	return v, nil
}

// Own sets the lease under which the vault changes secrets, and finishes a key rotation that a crash interrupted. If
// another server has claimed the store, Own, Set, Remove and Rotate return [flawless.Fenced] and change nothing.
func (v *Vault) Own(ctx context.Context, l *store.Lease) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lease = l
	if v.ring.file == "" || len(v.ring.keys) < 2 {
		return nil
	}
	if _, err := v.reseal(ctx); err != nil {
		return err
	}
	return v.refresh(ctx)
}

// Share makes the vault one of several on a store, which need the same key. It returns [flawless.Conflict] if secrets are
// stored whose key is missing here. From now on, nothing is encrypted with a key for which has returns an error. Call it
// before any change.
func (v *Vault) Share(has func(ctx context.Context, id string) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.has = has
	for _, s := range v.Open() {
		if _, ok := v.ring.find(s.Key); !ok {
			return fmt.Errorf("this server does not have the key %s, with which secret %s is encrypted: copy the file %s from the working directory of another node into that of this one, or set %s to the same value as there: %w",
				s.Key, s.Name, FileName, Variable, flawless.Conflict)
		}
	}
	return nil
}

// shared returns an error if other servers on the store lack a key. The caller holds mu.
func (v *Vault) shared(ctx context.Context, id string) error {
	if v.has == nil {
		return nil
	}
	return v.has(ctx, id)
}

// bound returns what is authenticated together with a value.
func bound(s *flawless.Secret) []byte {
	b, err := json.Marshal(append([]string{"flawless secret 1", s.Name}, s.Hosts...))
	if err != nil {
		panic("vault: strings that are not JSON: " + err.Error())
	}
	return b
}

func (v *Vault) seal(s flawless.Secret, value string) flawless.SealedSecret {
	k := v.ring.keys[0]
	s.Key, s.Problem = k.id, ""
	return flawless.SealedSecret{Secret: s, Box: k.aead.Seal(nil, nil, []byte(value), bound(&s))}
}

func (v *Vault) unseal(s flawless.SealedSecret) (out flawless.OpenSecret) {
	out.Secret = s.Secret
	k, ok := v.ring.find(s.Key)
	if !ok {
		out.Problem = fmt.Sprintf("its key %s is missing: restore the file %s or %s, or set the secret again", s.Key, FileName, Variable)
		return out
	}
	value, err := k.aead.Open(nil, nil, s.Box, bound(&s.Secret))
	if err != nil {
		out.Problem = "it was changed in the database without the key: set it again"
		return out
	}
	out.Value = string(value)
	return out
}

// refresh reads all secrets again. The caller holds mu or has exclusive access.
func (v *Vault) refresh(ctx context.Context) error {
	sealed, err := v.store.Secrets(ctx)
	if err != nil {
		return err
	}
	all := make([]flawless.OpenSecret, 0, len(sealed))
	for _, s := range sealed {
		all = append(all, v.unseal(s))
	}
	v.open.Store(&all)
	return nil
}

// Refresh reads all secrets again, because another server may have changed them.
func (v *Vault) Refresh(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refresh(ctx)
}

// Open returns all secrets with their values. Secrets with a problem have no value. The caller must not modify the
// slice.
func (v *Vault) Open() []flawless.OpenSecret { return *v.open.Load() }

// Keys returns the ids of its keys. The first one encrypts.
func (v *Vault) Keys() (ids []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range v.ring.keys {
		ids = append(ids, k.id)
	}
	return ids
}

// List returns the public part of all secrets, sorted by name.
func (v *Vault) List(context.Context) ([]flawless.Secret, error) {
	all := []flawless.Secret{}
	for _, s := range v.Open() {
		all = append(all, s.Secret)
	}
	return all, nil
}

// Set stores or replaces a secret. Without hosts it keeps the old ones. The first secret creates the key file. Errors
// are [flawless.Invalid] for an unacceptable name, host or value, and never contain the value. After a crash the
// secret has its old or its new value.
func (v *Vault) Set(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	if err := check(name, hosts, value); err != nil {
		return flawless.Secret{}, fmt.Errorf("setting secret %.200q: %w", name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.set(ctx, name, hosts, value)
}

func check(name string, hosts []string, value string) error {
	if err := flawless.CheckSecretName(name); err != nil {
		return err
	}
	if len(hosts) > flawless.MaxSecretHosts {
		return fmt.Errorf("it has %d hosts, but at most %d are allowed; a wildcard such as *.example.com covers many: %w", len(hosts), flawless.MaxSecretHosts, flawless.Invalid)
	}
	for _, h := range hosts {
		if _, err := flawless.ParseSecretHost(h); err != nil {
			return err
		}
	}
	switch {
	case len(value) < flawless.MinSecretValue || len(value) > flawless.MaxSecretValue:
		return fmt.Errorf("the value has %d bytes, a secret has %d to %d: %w", len(value), flawless.MinSecretValue, flawless.MaxSecretValue, flawless.Invalid)
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return fmt.Errorf("the value is not UTF-8 text; encode it, with base64 for example: %w", flawless.Invalid)
	}
	return nil
}

func (v *Vault) set(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	before, err := v.find(ctx, name)
	if err != nil {
		return flawless.Secret{}, err
	}
	switch {
	case len(hosts) == 0 && before == nil:
		return flawless.Secret{}, fmt.Errorf("setting secret %s: it has no host; give the hosts it may be sent to, with --host api.example.com: %w", name, flawless.Invalid)
	case len(hosts) == 0:
		hosts = before.Hosts
	}
	if err := v.haveKey(ctx); err != nil {
		return flawless.Secret{}, err
	}
	if err := v.shared(ctx, v.ring.keys[0].id); err != nil {
		return flawless.Secret{}, fmt.Errorf("setting secret %s: %w", name, err)
	}
	s := flawless.Secret{Name: name, Hosts: slices.Clone(hosts), Changed: v.now().UTC()}
	after := v.seal(s, value)
	if err := v.store.ChangeSecrets(ctx, v.lease, []store.SecretChange{{Before: before, After: &after}}); err != nil {
		return flawless.Secret{}, err
	}
	return after.Secret, v.refresh(ctx)
}

// haveKey creates the first key.
func (v *Vault) haveKey(ctx context.Context) error {
	if len(v.ring.keys) > 0 {
		return nil
	}
	sealed, err := v.store.Secrets(ctx)
	if err != nil {
		return err
	}
	if len(sealed) > 0 {
		return fmt.Errorf("there are secrets whose key %s is missing: restore %s or %s, or remove those secrets first: %w", sealed[0].Key, v.ring.file, Variable, flawless.Conflict)
	}
	k, err := randomSealer()
	if err != nil {
		return err
	}
	return v.ring.write([]sealer{k})
}

func (v *Vault) find(ctx context.Context, name string) (*flawless.SealedSecret, error) {
	sealed, err := v.store.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	for i := range sealed {
		if sealed[i].Name == name {
			return &sealed[i], nil
		}
	}
	return nil, nil
}

// Remove deletes a secret, or returns [flawless.NotFound]. Calls that need it are refused from then on.
func (v *Vault) Remove(ctx context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	before, err := v.find(ctx, name)
	if err != nil {
		return err
	}
	if before == nil {
		return fmt.Errorf("there is no secret %.200q: %w", name, flawless.NotFound)
	}
	if err := v.store.ChangeSecrets(ctx, v.lease, []store.SecretChange{{Before: before}}); err != nil {
		return err
	}
	return v.refresh(ctx)
}

// Rotate encrypts all secrets with a new key, and returns the id of the key and the number of secrets. It creates the
// key if keys are in a file; if they come from the environment, the first one there is the new key. Secrets whose key
// is missing stay unchanged. After a crash, every key that a secret needs is still there.
//
// request is the id of a request that is sent again if its answer is lost: the second one makes no other key, and returns what the
// first has returned. After a restart that is unknown, but a key in a file that other servers on the store would lack is never made.
// "" is never sent again.
func (v *Vault) Rotate(ctx context.Context, request string) (key string, secrets int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if request != "" && request == v.last.request {
		return v.last.key, v.last.secrets, nil
	}
	if key, secrets, err = v.rotate(ctx); err == nil {
		v.last = rotation{request, key, secrets}
	}
	return key, secrets, err
}

// rotate is Rotate. The caller holds mu.
func (v *Vault) rotate(ctx context.Context) (key string, secrets int, err error) {
	switch {
	case v.ring.file == "" && len(v.ring.keys) < 2:
		return "", 0, fmt.Errorf("the key comes from %s, which has only one: restart the server with %s=NEW,OLD and repeat this: %w", Variable, Variable, flawless.Conflict)
	case v.ring.file != "":
		k, err := randomSealer()
		if err == nil {
			err = v.shared(ctx, k.id)
		}
		if err != nil {
			return "", 0, fmt.Errorf("making a new key: %w", err)
		}
		if err := v.ring.write(append([]sealer{k}, v.ring.keys...)); err != nil {
			return "", 0, err
		}
	}
	if err := v.shared(ctx, v.ring.keys[0].id); err != nil {
		return "", 0, fmt.Errorf("encrypting the secrets with another key: %w", err)
	}
	n, err := v.reseal(ctx)
	if err == nil {
		err = v.refresh(ctx)
	}
	return v.ring.keys[0].id, n, err
}

// reseal encrypts all secrets with the first key and removes the other keys from the file. It returns the number of
// secrets.
func (v *Vault) reseal(ctx context.Context) (int, error) {
	sealed, err := v.store.Secrets(ctx)
	if err != nil {
		return 0, err
	}
	var changes []store.SecretChange
	needed := []sealer{v.ring.keys[0]}
	for i := range sealed {
		if sealed[i].Key == needed[0].id {
			continue
		}
		one := v.unseal(sealed[i])
		if one.Problem != "" {
			if k, ok := v.ring.find(sealed[i].Key); ok && !slices.ContainsFunc(needed, func(n sealer) bool { return n.id == k.id }) {
				needed = append(needed, k)
			}
			continue
		}
		after := v.seal(one.Secret, one.Value)
		changes = append(changes, store.SecretChange{Before: &sealed[i], After: &after})
	}
	if err := v.store.ChangeSecrets(ctx, v.lease, changes); err != nil {
		return 0, err
	}
	if v.ring.file != "" {
		err = v.ring.write(needed)
	}
	return len(sealed), err
}
