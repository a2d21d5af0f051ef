package flawless

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limit is a rate limit: how many calls of all runs together may begin towards a host in a period. Further calls
// wait; runs are served round-robin.
type Limit struct {
	Host     string `json:"host" cbor:"1,keyasint"`  // api.example.com, or api.example.com:8443 for one port
	Count    int    `json:"count" cbor:"2,keyasint"` // calls per period
	PeriodMS int64  `json:"period_ms" cbor:"3,keyasint"`
	Burst    int    `json:"burst" cbor:"4,keyasint"` // calls that may begin at once after a pause
	// Busy is the time (Unix nanoseconds) up to which the limit is used up by calls that have begun, and by servers that
	// have reserved permits. It never lags behind the calls that have begun.
	Busy    int64 `json:"-" cbor:"5,keyasint,omitempty"`
	Waiting int   `json:"waiting" cbor:"-"` // calls that wait for a permit
}

// Equals reports whether two limits are the same, whatever has used them.
func (l Limit) Equals(o Limit) bool {
	l.Busy, l.Waiting, o.Busy, o.Waiting = 0, 0, 0, 0
	return l == o
}

// Interval returns the time between two calls while many wait.
func (l *Limit) Interval() time.Duration {
	return time.Duration(l.PeriodMS) * time.Millisecond / time.Duration(max(l.Count, 1))
}

// Rate returns the limit in the form that [ParseRate] reads, such as 10/s.
func (l *Limit) Rate() string {
	for _, u := range rateUnits {
		if l.PeriodMS == u.period.Milliseconds() {
			return strconv.Itoa(l.Count) + "/" + u.name
		}
	}
	return fmt.Sprintf("%d/%v", l.Count, time.Duration(l.PeriodMS)*time.Millisecond)
}

var rateUnits = []struct {
	name   string
	period time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// MaxRate is the highest number of calls in the period of a [Limit].
const MaxRate = 1_000_000

// ParseRate parses a rate: 10/s, 300/m, 5000/h or 100/d.
func ParseRate(text string) (count int, period time.Duration, err error) {
	number, unit, _ := strings.Cut(text, "/")
	for _, u := range rateUnits {
		if n, err := strconv.Atoi(number); err == nil && unit == u.name && n > 0 && n <= MaxRate {
			return n, u.period, nil
		}
	}
	return 0, 0, fmt.Errorf("%.100q is not a rate; use a form such as 10/s, 300/m, 5000/h or 100/d: %w", text, Invalid)
}

// Check returns nil if the limit is valid, otherwise [Invalid] with the reason. It changes Host to its canonical
// form, see [CanonicalHost], and a burst of 0 to 1.
func (l *Limit) Check() error {
	l.Host = CanonicalHost(l.Host)
	if l.Burst == 0 {
		l.Burst = 1
	}
	switch {
	case !isHost(l.Host):
		return fmt.Errorf("%.200q is not a host; use a form such as api.example.com or api.example.com:8443: %w", l.Host, Invalid)
	case l.Count < 1 || l.Count > MaxRate || l.PeriodMS < 1 || l.PeriodMS > (31*24*time.Hour).Milliseconds():
		return fmt.Errorf("the limit is %d calls in %d ms; use 1 to %d calls in at most 31 days: %w", l.Count, l.PeriodMS, MaxRate, Invalid)
	case l.Burst < 1 || l.Burst > l.Count:
		return fmt.Errorf("the burst is %d calls; use 1 to %d: %w", l.Burst, l.Count, Invalid)
	}
	return nil
}

// isHost reports whether a text in lower case is the name or address of a host, with or without a port.
func isHost(text string) bool {
	name, port, err := net.SplitHostPort(text)
	if err != nil {
		name, port = text, "1"
	}
	n, err := strconv.Atoi(port)
	return strings.ContainsFunc(name, func(r rune) bool { return r != '-' && r != '.' && r != '_' }) && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.Contains(name, "..") && len(name) <= 253 && len(port) <= 5 &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return r != '-' && r != '.' && r != '_' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		}) && (!strings.Contains(name, ":") || net.ParseIP(name) != nil) && err == nil && n >= 1 && n <= 65535
}
