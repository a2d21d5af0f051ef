package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Upgrade says which runs are moved to the newest version of their module, and how.
type Upgrade struct {
	Module       []byte   // code to try instead of the newest version; only with DryRun
	Runs         []string // only these; nil is all open ones
	From         int      // only runs of this version; 0 is all
	Parallel     int      // so many are looked at at once; 0 is what the server thinks best
	DryRun       bool     // only report
	AllOrNothing bool     // move none unless all can
	Limit        int      // the report names so many runs, and counts all; 0 is flawless.DefaultUpgradeRuns
	Who          string
	Progress     func(stage string, done, all int) // nil is nobody
}

func (o Upgrade) query() url.Values {
	q := url.Values{}
	for _, id := range o.Runs {
		q.Add("run", id)
	}
	for name, n := range map[string]int{"from": o.From, "parallel": o.Parallel, "limit": o.Limit} {
		if n != 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	for name, set := range map[string]bool{"dry_run": o.DryRun, "all_or_nothing": o.AllOrNothing} {
		if set {
			q.Set(name, "true")
		}
	}
	if o.Who != "" {
		q.Set("who", o.Who)
	}
	return q
}

// Upgrade moves open runs of a module to its newest version, where replaying their past with it asks
// for what their logs have. Each run is moved atomically; after an error upgrading again goes on where
// it ended.
func (c *Client) Upgrade(ctx context.Context, module string, o Upgrade) (flawless.ModuleUpgrade, error) {
	r := request{method: http.MethodPost, path: "/modules/" + url.PathEscape(module) + "/upgrade", query: o.query(), accept: "text/event-stream",
		again: unique("run the upgrade again; it continues where it stopped")}
	if o.DryRun {
		r.again = reads()
	}
	if len(o.Module) > 0 {
		r.body, r.kind = o.Module, "application/wasm"
	}
	var out flawless.ModuleUpgrade
	err := c.listen(ctx, func() request { return r }, func(e event) (bool, error) {
		switch e.name {
		case "progress":
			var p struct {
				Stage     string
				Done, All int
			}
			if json.Unmarshal(e.data, &p) == nil && o.Progress != nil {
				o.Progress(p.Stage, p.Done, p.All)
			}
			return false, nil
		case "result":
			return true, json.Unmarshal(e.data, &out)
		}
		return false, nil
	})
	return out, err
}

// RemoveModule removes a version of a module, or with version 0 all of them, and returns what was
// removed. The server refuses with flawless.Conflict while an open run needs one.
func (c *Client) RemoveModule(ctx context.Context, name string, version int) ([]flawless.Module, error) {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	return do[[]flawless.Module](ctx, c, request{method: http.MethodDelete, path: "/modules/" + url.PathEscape(name), query: q,
		again: unique("check whether it still exists with: flawless module list")})
}
