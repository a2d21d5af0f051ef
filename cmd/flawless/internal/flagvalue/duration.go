package flagvalue

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// Duration is a duration within limits, written as 30s, 12h, 1h30m or 7d.
type Duration struct {
	value             *time.Duration
	shortest, longest time.Duration
}

// NewDuration returns the value of a flag that sets *d, and sets *d to the default. The default stands for a flag that
// is not given, so it may be shorter than the shortest duration that the flag accepts.
func NewDuration(d *time.Duration, byDefault, shortest, longest time.Duration) *Duration {
	*d = byDefault
	return &Duration{d, shortest, longest}
}

func (d *Duration) String() string {
	if *d.value == 0 {
		return "0" // which the help does not show as a default
	}
	return render.Duration(*d.value)
}

// Set implements pflag.Value.
func (d *Duration) Set(text string) error {
	t, err := parse(text, d.shortest, d.longest)
	if err == nil {
		*d.value = t
	}
	return err
}

// Type implements pflag.Value.
func (d *Duration) Type() string { return "duration" }

// parse reads a duration. Its errors say what the flag accepts: durations within the limits, and the given words.
func parse(text string, shortest, longest time.Duration, words ...string) (time.Duration, error) {
	d, ok := read(text)
	switch {
	case !ok:
		return 0, fmt.Errorf("%q is not a duration; use a value such as %s", text, examples(shortest, longest, words))
	case d < 0:
		return 0, fmt.Errorf("%q is negative; use a value such as %s", text, examples(shortest, longest, words))
	case d < shortest || d > 0 && d < time.Millisecond: // the server counts in milliseconds
		return 0, fmt.Errorf("%q is too short; use at least %s", text, render.Duration(max(shortest, time.Millisecond)))
	case d > longest:
		return 0, fmt.Errorf("%q is too long; use at most %s", text, render.Duration(longest))
	}
	return d, nil
}

// examples returns durations within the limits, and the words, as a list for people.
func examples(shortest, longest time.Duration, words []string) string {
	var all []string
	for _, text := range []string{"30s", "12h", "7d"} {
		if d, _ := read(text); shortest <= d && d <= longest {
			all = append(all, text)
		}
	}
	all = append(all, words...)
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// read reads a duration, which may be a whole number of days. One that exceeds its type becomes the longest.
func read(text string) (d time.Duration, ok bool) {
	const day = 24 * time.Hour
	if n, inDays := strings.CutSuffix(text, "d"); inDays {
		days, err := strconv.ParseInt(n, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
		const most = int64(math.MaxInt64 / day)
		return time.Duration(max(-most, min(days, most))) * day, true
	}
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, true
	}
	tooLong, _ := regexp.MatchString(`^[-+]?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`, text)
	if d = math.MaxInt64; strings.HasPrefix(text, "-") {
		d = math.MinInt64
	}
	return d, tooLong
}

// Retention is a duration in milliseconds, written as 90d, 12h, forever (-1) or default (0).
type Retention int64

func (r *Retention) String() string { return "" }

// Set implements pflag.Value.
func (r *Retention) Set(text string) error {
	switch text {
	case "forever":
		*r = -1
		return nil
	case "default":
		*r = 0
		return nil
	}
	d, err := parse(text, time.Millisecond, flawless.MaxRetention, "forever", "default")
	if err == nil {
		*r = Retention(d.Milliseconds())
	}
	return err
}

// Type implements pflag.Value.
func (r *Retention) Type() string { return "duration" }

// RetryFor is a duration in milliseconds, written as 30s, 12h, 7d, 0, none or default (-1).
type RetryFor int64

func (r *RetryFor) String() string { return "" }

// Set implements pflag.Value.
func (r *RetryFor) Set(text string) error {
	switch text {
	case "default":
		*r = -1
		return nil
	case "none":
		*r = 0
		return nil
	}
	d, err := parse(text, 0, flawless.MaxRetryFor, "0", "none", "default")
	if err == nil {
		*r = RetryFor(d.Milliseconds())
	}
	return err
}

// Duration returns the duration, or nil for the default.
func (r RetryFor) Duration() *time.Duration {
	if r < 0 {
		return nil
	}
	return new(time.Duration(r) * time.Millisecond)
}

// Type implements pflag.Value.
func (r *RetryFor) Type() string { return "duration" }

// OwnRetryFor is a RetryFor without the word default, for the setting that is the default of all others.
type OwnRetryFor struct{ RetryFor }

// Set implements pflag.Value.
func (r *OwnRetryFor) Set(text string) error {
	if text == "default" {
		_, err := parse(text, 0, flawless.MaxRetryFor, "0", "none")
		return err
	}
	err := r.RetryFor.Set(text)
	if err != nil {
		_, err = parse(text, 0, flawless.MaxRetryFor, "0", "none")
	}
	return err
}
