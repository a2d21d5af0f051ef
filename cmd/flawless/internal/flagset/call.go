package flagset

import (
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

// Calls holds the flags that select calls whose outcome is unknown.
type Calls struct {
	runs         Runs
	host, reason string
}

// AddTo adds the flags to a command.
func (d *Calls) AddTo(c *cobra.Command) {
	d.runs.addMost(c, "calls whose outcome became unknown")
	c.Flags().StringVar(&d.host, "host", "", "calls to this host, such as pay.example.com or pay.example.com:8443")
	c.Flags().StringVar(&d.reason, "reason", "", "calls whose reason or request has this text (case does not matter)")
}

// Read is [Runs.Read].
func (d *Calls) Read() (bool, error) {
	some, err := d.runs.Read()
	d.runs.Filter.Status = []flawless.Status{flawless.Unresolved}
	return some || d.host != "" || d.reason != "", err
}

// Selects reports whether a call is meant.
func (d *Calls) Selects(x flawless.Doubt) bool {
	if !d.runs.Filter.Since.IsZero() && x.Since.Before(d.runs.Filter.Since) || !d.runs.Filter.Until.IsZero() && !x.Since.Before(d.runs.Filter.Until) {
		return false
	}
	if d.reason != "" && !strings.Contains(strings.ToLower(x.Reason+"\n"+x.Request), strings.ToLower(d.reason)) {
		return false
	}
	if d.host == "" {
		return true
	}
	_, address, _ := strings.Cut(x.Request, " ")
	u, err := url.Parse(address)
	return err == nil && (strings.EqualFold(u.Hostname(), d.host) || strings.EqualFold(u.Host, d.host))
}

// Runs returns the filter of the runs that may have selected calls.
func (d *Calls) Runs() flawless.Filter {
	f := d.runs.Filter
	f.Limit, f.Since = 1000, time.Time{} // a run is older than its calls
	return f
}
