package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Upgrade says which runs to move to the newest version of their module, and how.
type Upgrade struct {
	Module       []byte   // code to try instead of the newest version; only with DryRun
	Runs         []string // only these runs; nil means all open ones
	From         int      // only runs of this version; 0 means all
	Parallel     int      // number of runs to check concurrently; 0 means the server's default
	DryRun       bool     // only report
	AllOrNothing bool     // move no run unless all can be moved
	Limit        int      // how many runs the report names; it counts all. 0 means flawless.DefaultUpgradeRuns
	Who          string
	Progress     func(stage string, done, all int) // may be nil
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

// Upgrade moves open runs of a module to its newest version if replaying their history with it gives the calls in
// their logs. Each run is moved atomically; after an error, another upgrade continues where this one ended.
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

// RemoveModule removes a version of a module, or all versions if version is 0, and returns what was removed. It fails
// with flawless.Conflict while an open run needs one of them.
func (c *Client) RemoveModule(ctx context.Context, name string, version int) ([]flawless.Module, error) {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	return do[[]flawless.Module](ctx, c, request{method: http.MethodDelete, path: "/modules/" + url.PathEscape(name), query: q,
		again: unique("check whether it still exists with: flawless module list")})
}
