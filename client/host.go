package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// HostChange says what is to be changed of what is said of a host; nil leaves it.
type HostChange struct {
	KeyMS      *int64 `json:"key_within_ms,omitempty"` // it honours an Idempotency-Key for so long; 0 says nothing, -1 that it does not
	RetryForMS *int64 `json:"retry_for_ms,omitempty"`  // failed calls are retried for so long; 0 is not at all, -1 as the module or server says
}

// ChangeHost changes what is said of a host: api.example.com, *.example.com, or either with a port. It holds
// for the next try of every call.
func (c *Client) ChangeHost(ctx context.Context, host string, change HostChange) (flawless.Host, error) {
	return update[flawless.Host](ctx, c, http.MethodPatch, "/hosts/"+url.PathEscape(host), nil, change, again{same: "which sets the same values"})
}

// Hosts returns what is said of hosts, by host.
func (c *Client) Hosts(ctx context.Context) ([]flawless.Host, error) {
	return list[flawless.Host](ctx, c, "/hosts")
}

// Host returns what is said of a host under that very name, or flawless.NotFound.
func (c *Client) Host(ctx context.Context, host string) (flawless.Host, error) {
	return get[flawless.Host](ctx, c, "/hosts/"+url.PathEscape(host), nil)
}

// RemoveHost forgets what is said of a host.
func (c *Client) RemoveHost(ctx context.Context, host string) error {
	return c.remove(ctx, "/hosts/"+url.PathEscape(host), "host list")
}

// Urge is a decision about a call that waits for its next try.
type Urge struct {
	Call   int    `json:"call,omitempty"` // 0 is the only one that waits
	GiveUp bool   `json:"give_up,omitempty"`
	Who    string `json:"who,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Urge starts the next try of a call now, or ends its retries: the code then gets the last error.
func (c *Client) Urge(ctx context.Context, id string, u Urge) (flawless.Run, error) {
	return post[flawless.Run](ctx, c, runPath(id, "/retry"), nil, u, unique("check the state of the call with: flawless workflow show %s", id))
}
