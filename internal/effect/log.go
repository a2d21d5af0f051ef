package effect

import (
	"encoding/json"
	"slices"

	"github.com/flawless-engine/flawless"
)

var levels = []string{"", "debug", "info", "warn", "error"}

// checkLog checks a log line of the guest. A missing level is info.
func checkLog(c flawless.Call) (Policy, error) {
	var h struct {
		Level  string                     `json:"level"`
		Fields map[string]json.RawMessage `json:"fields"`
	}
	if len(c.Head) > 0 {
		if err := decode(c, &h); err != nil {
			return Policy{}, err
		}
	}
	if !slices.Contains(levels, h.Level) {
		return Policy{}, invalid(Log, `member "level" is %q, give debug, info, warn or error`, h.Level)
	}
	return Policy{Title: "log"}, nil
}
