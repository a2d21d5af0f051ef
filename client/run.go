package client

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
)

// Start describes a run to start.
type Start struct {
	Module   string            `json:"module"`
	Workflow string            `json:"workflow"`
	Input    json.RawMessage   `json:"input,omitempty"`
	ID       string            `json:"id"`
	Labels   map[string]string `json:"labels,omitempty"`
	Deadline *time.Time        `json:"deadline,omitempty"` // when the run is cancelled
	Grace    string            `json:"grace,omitempty"`    // time from then until it is terminated, such as 30s; "" means a minute
	Version  string            `json:"version,omitempty"`  // of the module; "" means the newest

	ConcurrencyKey string `json:"concurrency_key,omitempty"` // of all runs with the same key, at most Concurrency run at once
	Concurrency    int    `json:"concurrency,omitempty"`     // 0 means 1
	Priority       int    `json:"priority,omitempty"`        // higher ones begin first, then older ones
}

// Start starts a run. With wait, it returns when the run has ended or needs a decision. Without an id, it generates
// one. It returns false if a run with that id and input already exists. If the answer is lost, the request is
// repeated, see [Options]; after [Lost], repeat it with the same id, which never starts a second run.
func (c *Client) Start(ctx context.Context, s Start, wait bool) (flawless.Run, bool, error) {
	made := s.ID == "" // so no other client can have started it
	s.ID = newID(s.ID)
	out, err := post[struct {
		Run     flawless.Run
		Started bool
	}](ctx, c, "/runs", flag("wait", wait), s, starts(s.ID))
	return out.Run, out.Started || made && err == nil, err
}

// starts is for a request that starts a run with an id.
func starts(id string) again { return known("id", "--id", id, "never starts a second run") }

// newID returns id, or a new id if it is "".
func newID(id string) string {
	return cmp.Or(id, flawless.NewRunID(time.Now()))
}

func flag(name string, set bool) url.Values {
	if !set {
		return nil
	}
	return url.Values{name: {"true"}}
}

func runPath(id, rest string) string { return "/runs/" + url.PathEscape(id) + rest }

// Run returns a run. With wait, it returns when the run has ended or needs a decision.
func (c *Client) Run(ctx context.Context, id string, wait bool) (flawless.Run, error) {
	r := request{method: http.MethodGet, path: runPath(id, ""), query: flag("wait", wait)}
	if wait {
		r.again = reads()
	}
	return do[flawless.Run](ctx, c, r)
}

// Runs returns a page of runs, newest first, and the cursor of the next page, or "" at the end.
func (c *Client) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	q := url.Values{}
	set := func(name, v string) {
		if v != "" {
			q.Add(name, v)
		}
	}
	status := ""
	for _, s := range f.Status {
		if status != "" {
			status += ","
		}
		status += string(s)
	}
	set("status", status)
	set("module", f.Module)
	set("workflow", f.Workflow)
	set("cursor", f.Cursor)
	if !f.Since.IsZero() {
		set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	set("parent", f.Parent)
	set("prefix", f.Prefix)
	set("text", f.Text)
	if f.Retrying {
		set("retrying", "true")
	}
	for name, value := range f.Labels {
		q.Add("label", name+"="+value)
	}
	if f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	page, err := get[struct {
		Runs []flawless.Run
		Next string
	}](ctx, c, "/runs", q)
	return page.Runs, page.Next, err
}

// All yields all runs that match f, page by page.
func (c *Client) All(ctx context.Context, f flawless.Filter) iter.Seq2[flawless.Run, error] {
	return func(yield func(flawless.Run, error) bool) {
		for {
			runs, next, err := c.Runs(ctx, f)
			if err != nil {
				yield(flawless.Run{}, err)
				return
			}
			for _, r := range runs {
				if !yield(r, nil) {
					return
				}
			}
			if f.Cursor = next; next == "" {
				return
			}
		}
	}
}

// Log returns records starting with number from: at most limit (0 means 100), and about 1 MiB. The next page starts
// after the number of the last record. See also [Client.WholeLog].
func (c *Client) Log(ctx context.Context, id string, from uint64, limit int) ([]flawless.Record, error) {
	page, _, err := c.logPage(ctx, id, from, limit)
	return page, err
}

// logPage also reports whether there are more records.
func (c *Client) logPage(ctx context.Context, id string, from uint64, limit int) (page []flawless.Record, more bool, err error) {
	q := url.Values{"from": {strconv.FormatUint(from, 10)}}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	// The server may delay a page in order not to run out of memory.
	err = c.persist(ctx, reads(), func() (bool, error) {
		var err error
		page, more, err = paged[flawless.Record](ctx, c, runPath(id, "/log"), q)
		return false, err
	})
	return page, more, err
}

// WholeLog yields all existing records, page by page.
func (c *Client) WholeLog(ctx context.Context, id string) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		for from := uint64(0); ; {
			page, more, err := c.logPage(ctx, id, from, 1000)
			if err != nil {
				yield(flawless.Record{}, err)
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
				from = rec.Seq + 1
			}
			if !more || len(page) == 0 {
				return
			}
		}
	}
}

// Follow yields the records of a run, starting with number from, as they become durable, until the run has ended. If
// the server restarts, it continues with the next record.
func (c *Client) Follow(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		stopped := false
		err := c.listen(ctx, func() request {
			return request{method: http.MethodGet, path: runPath(id, "/events"), accept: "text/event-stream",
				query: url.Values{"from": {strconv.FormatUint(from, 10)}}, again: again{same: "from where it stopped"}}
		}, func(e event) (done bool, err error) {
			var rec flawless.Record
			switch e.name {
			case "record":
				err = json.Unmarshal(e.data, &rec)
			case "run":
				return true, nil
			default:
				return false, nil
			}
			if err == nil {
				from = rec.Seq + 1
				stopped = !yield(rec, nil)
			}
			return stopped, err
		})
		if err != nil && !stopped {
			yield(flawless.Record{}, err)
		}
	}
}

// Reset is an error of [Client.Watch] that does not end it: changes of runs may be missing, so look at the runs again. A
// server has stopped or is new, and several servers share the database.
const Reset flawless.Code = "changes may be missing"

// Watch yields every run that changes from now on, and [Reset] where changes may be missing.
func (c *Client) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	return func(yield func(flawless.Run, error) bool) {
		resp, err := c.send(ctx, request{method: http.MethodGet, path: "/events", accept: "text/event-stream"})
		if err != nil {
			yield(flawless.Run{}, err)
			return
		}
		defer resp.Body.Close()
		for e, err := range events(resp.Body) {
			var r flawless.Run
			switch {
			case err != nil:
			case e.name == "problem":
				err = refusal(http.StatusInternalServerError, e.data)
			case e.name == "reset":
				if !yield(r, Reset) {
					return
				}
				continue
			case e.name != "run": // of a later version
				continue
			default:
				err = json.Unmarshal(e.data, &r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		yield(flawless.Run{}, errCut)
	}
}

// Data returns the data that a run published last.
func (c *Client) Data(ctx context.Context, id string) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, runPath(id, "/data"), nil)
}

// Resolve decides what happens to a call whose outcome is unknown.
func (c *Client) Resolve(ctx context.Context, id string, d flawless.Decision) (flawless.Run, error) {
	in := map[string]any{"resolution": d.Resolution}
	for name, v := range map[string]string{"text": d.Text, "who": d.Who, "note": d.Note} {
		if v != "" {
			in[name] = v
		}
	}
	if d.Confirm {
		in["confirm"] = true
	}
	if d.Resolution == flawless.Respond {
		in["body"] = d.Body
		if d.Status != 0 {
			in["status"] = d.Status
		}
	}
	return post[flawless.Run](ctx, c, runPath(id, "/calls/"+strconv.Itoa(d.Call)+"/resolve"), nil, in,
		unique("before you decide again, check whether the outcome of call %d is still unknown, and since when: flawless workflow show %s", d.Call, id))
}

// Cancel cancels a run, which lets its code clean up. With a deadline, the run is terminated if it has not ended by
// then.
func (c *Client) Cancel(ctx context.Context, id string, w flawless.Cancel) (flawless.Run, error) {
	var q url.Values
	if w.Deadline != 0 {
		q = url.Values{"deadline": {time.Unix(0, w.Deadline).UTC().Format(time.RFC3339Nano)}}
	}
	return post[flawless.Run](ctx, c, runPath(id, "/cancel"), q, map[string]string{"who": w.Who, "note": w.Note}, harmless())
}

// Pause pauses or resumes a run. A paused run takes no turns.
func (c *Client) Pause(ctx context.Context, id string, p flawless.Pause) (flawless.Run, error) {
	what, a := "/pause", harmless()
	if p.Resume { // repeated for a run that is paused and held, it would lift both
		what, a = "/resume", unique("check the status of the run with: flawless workflow show %s", id)
	}
	return post[flawless.Run](ctx, c, runPath(id, what), nil, map[string]string{"who": p.Who, "note": p.Note}, a)
}

// Restart says how a restarted run differs from the original.
type Restart struct {
	ID      string // id of the new run, which is started only once; "" generates one
	Version string // of the module; "" means the version requested before, or else the newest
}

// Restart starts a new run with the input and terms of one that has ended without output.
func (c *Client) Restart(ctx context.Context, of string, o Restart) (flawless.Run, error) {
	q := url.Values{"id": {newID(o.ID)}}
	if o.Version != "" {
		q.Set("version", o.Version)
	}
	return post[flawless.Run](ctx, c, runPath(of, "/restart"), q, nil, starts(q.Get("id")))
}

// Terminate ends a run without the cooperation of its code. For a completed run, it withdraws calls that have not
// begun.
func (c *Client) Terminate(ctx context.Context, id string, w flawless.Cancel) (flawless.Run, error) {
	return post[flawless.Run](ctx, c, runPath(id, "/terminate"), nil, map[string]string{"who": w.Who, "note": w.Note},
		unique("check the status of the run with: flawless workflow show %s", id))
}
