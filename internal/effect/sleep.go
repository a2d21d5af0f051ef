package effect

import (
	"math"
	"time"

	"github.com/flawless-engine/flawless"
)

type sleepHead struct {
	Until *int64 `json:"until"`
	For   *int64 `json:"for"`
}

func parseSleep(c flawless.Call) (sleepHead, error) {
	var h sleepHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	switch {
	case (h.Until == nil) == (h.For == nil):
		return h, invalid(Sleep, `give either "until" (Unix time in nanoseconds) or "for" (nanoseconds)`)
	case h.Until != nil && *h.Until < 0:
		return h, invalid(Sleep, `member "until" is %d, give Unix time in nanoseconds`, *h.Until)
	case h.For != nil && *h.For < 0:
		return h, invalid(Sleep, `member "for" is %d, give 0 or more nanoseconds`, *h.For)
	}
	return h, nil
}

func checkSleep(c flawless.Call) (Policy, error) {
	h, err := parseSleep(c)
	switch {
	case err != nil:
		return Policy{}, err
	case h.For != nil:
		return Policy{Title: "sleep for " + time.Duration(*h.For).String()}, nil
	}
	return Policy{Title: "sleep until " + time.Unix(0, *h.Until).UTC().Format(time.RFC3339Nano)}, nil
}

func dueSleep(c flawless.Call, made time.Time) (time.Time, flawless.Answer, error) {
	h, err := parseSleep(c)
	if err != nil {
		return time.Time{}, flawless.Answer{}, err
	}
	done := flawless.Answer{Call: c.N, Head: []byte("{}")}
	if h.Until != nil {
		return time.Unix(0, *h.Until), done, nil
	}
	if *h.For > math.MaxInt64-made.UnixNano() {
		return time.Time{}, flawless.Answer{}, invalid(Sleep, `member "for" is %d, which ends after the year 2262`, *h.For)
	}
	return made.Add(time.Duration(*h.For)), done, nil
}
