package admin

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func limitRoutes() []Route {
	return []Route{
		{"GET /limits", func(v *Visit) error { return v.showLimits(http.StatusOK, nil) }},
		{"POST /limits", changeLimit},
	}
}

// queue is what runs wait for in turn: the rate limit of a host, or a place among the runs of a module or key.
type queue struct {
	Name    string
	Limit   int // runs at once; 0 is unknown
	Running int64
	Waiting []flawless.Run // of those that were looked at, those that wait longest first
	More    int64          // further ones
	Oldest  *time.Time
}

// longest orders the runs of a queue.
func (q *queue) longest() {
	slices.SortStableFunc(q.Waiting, func(a, b flawless.Run) int { return sinceWhen(a).Compare(sinceWhen(b)) })
	if len(q.Waiting) > 0 {
		at := sinceWhen(q.Waiting[0])
		q.Oldest = &at
	}
}

// sinceWhen returns since when a run waits.
func sinceWhen(r flawless.Run) time.Time {
	if r.Waiting != nil && r.Waiting.Since != nil {
		return *r.Waiting.Since
	}
	return r.Created
}

// limitRow is the rate limit of a host, with the runs that wait for it.
type limitRow struct {
	flawless.Limit
	Queue queue
}

// showLimits shows who waits for whom, and since when.
func (v *Visit) showLimits(status int, problem error) error {
	limits, err := v.Client.Limits(v.ctx())
	if err != nil {
		return err
	}
	hosts, err := v.Client.Hosts(v.ctx())
	if err != nil {
		return err
	}
	waiting, moreWaiting, err := v.upTo(flawless.Filter{Status: []flawless.Status{flawless.Waiting, flawless.Running}})
	if err != nil {
		return err
	}
	pending, morePending, err := v.upTo(flawless.Filter{Status: []flawless.Status{flawless.Pending}})
	if err != nil {
		return err
	}
	rows := make([]limitRow, len(limits))
	for i, l := range limits {
		rows[i] = limitRow{Limit: l, Queue: queue{Name: l.Host}}
		for _, r := range waiting {
			if w := r.Waiting; w != nil && w.Kind == flawless.WaitLimit && appliesTo(l.Host, w.Name) {
				rows[i].Queue.Waiting = append(rows[i].Queue.Waiting, r)
			}
		}
		rows[i].Queue.longest()
	}
	caps, err := v.caps(pending)
	if err != nil {
		return err
	}
	d := map[string]any{"Limits": rows, "Hosts": hosts, "Caps": caps, "Keys": keyQueues(pending), "Sampled": moreWaiting || morePending, "Limit": v.filled("limit"), "Cap": v.filled("cap"), "Host": v.filled("host"),
		"Commands": []string{form.Shell("flawless", "limit", "set", "api.example.com", "10/s", "--burst", "5"), form.Shell("flawless", "module", "set", "shop", "--concurrency", "20"),
			form.Shell("flawless", "host", "set", "api.stripe.com", "--idempotency-key", "honoured", "--within", "24h")}}
	if problem != nil {
		d["Problem"] = word.Sentence(problem.Error())
	}
	v.Show(status, "limits.html", Page{Title: "Limits", Here: "/limits", Data: d})
	return nil
}

// filled returns what was filled in in one of several forms of a page.
func (v *Visit) filled(do string) url.Values {
	if v.R.PostForm.Get("do") != do {
		return nil
	}
	return v.R.PostForm
}

// appliesTo reports whether the limit of a host, with or without a port, may be what a run waits for that calls a host. What the run
// waits for has no port.
func appliesTo(limit, host string) bool {
	name, _, err := net.SplitHostPort(limit)
	return limit == host || err == nil && name == host
}

// caps returns the modules whose runs are capped, with those of the runs that wait for that.
func (v *Visit) caps(pending []flawless.Run) (out []*queue, err error) {
	modules, err := v.Client.Modules(v.ctx())
	if err != nil {
		return nil, err
	}
	counts, err := v.moduleStats()
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		s, err := v.Client.Settings(v.ctx(), m.Name)
		if err != nil {
			return nil, err
		}
		if s.Concurrency == 0 {
			continue
		}
		q := &queue{Name: m.Name, Limit: s.Concurrency}
		runs := counts[m.Name].Runs
		for status, n := range runs {
			if !status.Ended() && status != flawless.Pending {
				q.Running += n
			}
		}
		for _, r := range pending {
			if r.Module == m.Name && (r.Queue == nil || r.Queue.Key == "") {
				q.Waiting = append(q.Waiting, r)
			}
		}
		q.longest()
		q.More = max(0, runs[flawless.Pending]-int64(len(q.Waiting)))
		out = append(out, q)
	}
	return out, nil
}

// keyQueues returns the runs that wait for others with the same concurrency key, the longest queue first.
func keyQueues(pending []flawless.Run) (out []*queue) {
	by := map[string]*queue{}
	for _, r := range pending {
		if r.Queue == nil || r.Queue.Key == "" {
			continue
		}
		q := by[r.Queue.Key]
		if q == nil {
			q = &queue{Name: r.Queue.Key, Limit: r.Queue.Limit}
			by[r.Queue.Key] = q
			out = append(out, q)
		}
		q.Waiting = append(q.Waiting, r)
	}
	for _, q := range out {
		q.longest()
	}
	slices.SortStableFunc(out, func(a, b *queue) int { return cmp.Compare(len(b.Waiting), len(a.Waiting)) })
	return out
}

// changeLimit sets or removes a limit, a cap, or the settings of a host.
func changeLimit(v *Visit) (err error) {
	f := func(name string) string { return strings.TrimSpace(v.R.PostFormValue(name)) }
	whole := func(name string) int {
		n, bad := strconv.Atoi(cmp.Or(f(name), "0"))
		if bad != nil {
			err = fmt.Errorf("%.50q is not a number", f(name))
		}
		return n
	}
	switch f("do") {
	case "limit":
		burst := whole("burst")
		if err == nil {
			_, err = v.Client.SetLimit(v.ctx(), f("host"), f("rate"), burst)
		}
	case "unlimit":
		err = v.Client.RemoveLimit(v.ctx(), f("host"))
	case "cap":
		n := whole("concurrency")
		if err == nil {
			_, err = v.Client.ChangeSettings(v.ctx(), f("module"), client.SettingsChange{Concurrency: &n})
		}
	case "host":
		err = v.setHost(f)
	case "unhost":
		err = v.Client.RemoveHost(v.ctx(), f("host"))
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showLimits(status, err) })
	}
	http.Redirect(v.W, v.R, v.Base+"/limits", http.StatusSeeOther)
	return nil
}

// setHost changes the settings of a host that were filled in.
func (v *Visit) setHost(f func(string) string) error {
	var change client.HostChange
	ms := int64(0)
	switch f("key") {
	case "honoured":
		d, err := form.ParseSpan(f("within"))
		if err != nil {
			return fmt.Errorf("how long the host remembers a key: %w", err)
		}
		ms = d.Milliseconds()
		change.KeyMS = &ms
	case "ignored":
		ms = -1
		change.KeyMS = &ms
	}
	if text := f("retry"); text != "" {
		retry, err := retryMS(text)
		if err != nil {
			return fmt.Errorf("how long calls are retried: %w, none or default", err)
		}
		change.RetryForMS = &retry
	}
	_, err := v.Client.ChangeHost(v.ctx(), f("host"), change)
	return err
}

// retryWords says how long failed calls are retried.
func retryWords(ms int64) string {
	if ms == 0 {
		return "not retried"
	}
	return "retried for " + retryText(ms)
}
