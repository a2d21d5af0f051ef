package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// SetSecret asks to store a secret.
type SetSecret struct {
	Hosts []string `json:"hosts,omitempty" doc:"hosts that the secret may be sent to, such as api.example.com; default: the hosts of the secret that it replaces"`
	Value string   `json:"value"`
}

// Rotated is the answer to a change of the key of secrets.
type Rotated struct {
	Key     string `json:"key" doc:"id of the key that now encrypts all secrets"`
	Secrets int    `json:"secrets"`
}

// SecretPath names a secret in a path.
type SecretPath struct {
	Name string `path:"name" doc:"name of the secret"`
}

func (a *api) secrets() {
	set := operation("set-secret", http.MethodPut, "/secrets/{name}", "Store a secret")
	// Read the body by hand, because refusals of the framework would quote it.
	set = withPayload(set, "application/json", true, a.huma.OpenAPI().Components.Schemas.Schema(typeOf[SetSecret](), true, "SetSecret"))
	huma.Register(a.huma, set, func(ctx context.Context, in *struct {
		SecretPath
		Payload
	}) (*body[flawless.Secret], error) {
		b, err := parseSecret(in.Bytes)
		if err != nil {
			return nil, reply.From(err)
		}
		s, err := a.engine.SetSecret(ctx, in.Name, b.Hosts, b.Value)
		return &body[flawless.Secret]{s}, reply.From(err)
	})
	huma.Register(a.huma, operation("list-secrets", http.MethodGet, "/secrets", "List the names and hosts of secrets, never their values"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Secret], error) {
			v, err := a.engine.Secrets()
			if err != nil {
				return nil, reply.From(err)
			}
			all, err := v.List(ctx)
			return byName("/secrets", all, *in, func(x flawless.Secret) string { return x.Name }), reply.From(err)
		})
	huma.Register(a.huma, operation("remove-secret", http.MethodDelete, "/secrets/{name}", "Remove a secret"),
		func(ctx context.Context, in *SecretPath) (*struct{}, error) {
			v, err := a.engine.Secrets()
			if err == nil {
				err = v.Remove(ctx, in.Name)
			}
			return nil, reply.From(err)
		})
	huma.Register(a.huma, operation("rotate-secret-key", http.MethodPost, "/secret-keys", "Encrypt all secrets with a new key"),
		func(ctx context.Context, _ *struct{}) (*body[Rotated], error) {
			v, err := a.engine.Secrets()
			if err != nil {
				return nil, reply.From(err)
			}
			key, n, err := v.Rotate(ctx, forward.RequestID(ctx))
			return &body[Rotated]{Rotated{key, n}}, reply.From(err)
		})
}

// parseSecret parses the body of a request. Its errors do not quote it.
func parseSecret(text []byte) (SetSecret, error) {
	var b SetSecret
	err := json.Unmarshal(text, &b)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return SetSecret{}, fmt.Errorf("setting a secret: member %q of the body has the wrong type; value must be a string and hosts a list of strings: %w", wrong.Field, flawless.Invalid)
	case err != nil:
		return SetSecret{}, fmt.Errorf("setting a secret: the body must be JSON such as {\"hosts\":[\"api.example.com\"],\"value\":\"…\"}: %w", flawless.Invalid)
	}
	return b, nil
}
