package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// Views returns the saved views, ordered by name.
func (c *Client) Views(ctx context.Context) ([]flawless.View, error) {
	return list[flawless.View](ctx, c, "/views")
}

// SetView saves a view under its name, in place of one that has it.
func (c *Client) SetView(ctx context.Context, v flawless.View) (flawless.View, error) {
	in := map[string]string{"page": v.Page}
	if v.Query != "" {
		in["query"] = v.Query
	}
	return update[flawless.View](ctx, c, http.MethodPut, "/views/"+url.PathEscape(v.Name), nil, in, harmless())
}

// RemoveView removes a saved view.
func (c *Client) RemoveView(ctx context.Context, name string) error {
	return c.remove(ctx, "/views/"+url.PathEscape(name), "view list")
}
