package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// HostChange says which settings of a host to change; nil leaves a setting as it is.
type HostChange struct {
	KeyMS      *int64 `json:"key_within_ms,omitempty"` // how long it honours an Idempotency-Key; 0 means not set, -1 that it does not
	RetryForMS *int64 `json:"retry_for_ms,omitempty"`  // how long failed calls are retried; 0 means no retries, -1 the setting of the module or server
}

// ChangeHost changes the settings of a host: api.example.com or *.example.com, either with an optional port. They
// apply from the next attempt of every call.
func (c *Client) ChangeHost(ctx context.Context, host string, change HostChange) (flawless.Host, error) {
	return update[flawless.Host](ctx, c, http.MethodPatch, "/hosts/"+url.PathEscape(host), nil, change, again{same: "which sets the same values"})
}

// Hosts returns the settings of all hosts, ordered by host.
func (c *Client) Hosts(ctx context.Context) ([]flawless.Host, error) {
	return list[flawless.Host](ctx, c, "/hosts")
}

// Host returns the settings stored for exactly this host, or flawless.NotFound.
func (c *Client) Host(ctx context.Context, host string) (flawless.Host, error) {
	return get[flawless.Host](ctx, c, "/hosts/"+url.PathEscape(host), nil)
}

// RemoveHost removes the settings of a host.
func (c *Client) RemoveHost(ctx context.Context, host string) error {
	return c.remove(ctx, "/hosts/"+url.PathEscape(host), "host list")
}

// Urge is a decision about a call that waits for its next attempt.
type Urge struct {
	Call   int    `json:"call,omitempty"` // 0 means the only call that waits
	GiveUp bool   `json:"give_up,omitempty"`
	Who    string `json:"who,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Urge starts the next attempt of a call now, or, with GiveUp, ends its retries: the code then gets the last error.
func (c *Client) Urge(ctx context.Context, id string, u Urge) (flawless.Run, error) {
	return post[flawless.Run](ctx, c, runPath(id, "/retry"), nil, u, unique("check the state of the call with: flawless workflow show %s", id))
}
