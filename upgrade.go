package flawless

import "time"

// Verdict is what the replay of a run with other code amounts to.
type Verdict string

// The verdicts.
const (
	GoesOn   Verdict = "goes on"        // it asked for everything the log has: the run can go on with the code
	Diverges Verdict = "diverged"       // it asked for something else
	Untold   Verdict = "cannot be told" // the log cannot be replayed
)

// RunUpgrade is what becomes of one run in an upgrade.
type RunUpgrade struct {
	Run         string      `json:"run"`
	Workflow    string      `json:"workflow"`
	From        string      `json:"from"`                   // digest of its module
	FromVersion int         `json:"from_version,omitempty"` // 0 where that is not known
	Turns       int         `json:"turns"`                  // that were replayed
	Calls       int         `json:"calls"`
	Verdict     Verdict     `json:"verdict"`
	Moved       bool        `json:"moved"`
	Reason      string      `json:"reason,omitempty"` // why it cannot be told, or was not moved
	Divergence  *Divergence `json:"divergence,omitempty"`
}

// DefaultUpgradeRuns and MaxUpgradeRuns are how many runs a report names where nothing is said, and at most.
const (
	DefaultUpgradeRuns = 1000
	MaxUpgradeRuns     = 100_000
)

// Looked is how many runs were looked at.
func (u *ModuleUpgrade) Looked() int { return u.GoOn + u.Diverge + u.Untold }

// ModuleUpgrade is the report of an upgrade.
type ModuleUpgrade struct {
	Module  string        `json:"module"`
	Version int           `json:"version"` // that runs were moved to, or would be; 0 where it is not added
	Digest  string        `json:"digest"`
	DryRun  bool          `json:"dry_run"`
	Already int           `json:"already"` // open runs that are on it
	GoOn    int           `json:"go_on"`
	Diverge int           `json:"diverged"`
	Untold  int           `json:"cannot_be_told"`
	Moved   int           `json:"moved"`
	Took    time.Duration `json:"took_ns"`
	Runs    []RunUpgrade  `json:"runs"`               // that were looked at, those that cannot go on first
	LeftOut int           `json:"left_out,omitempty"` // so many more were looked at, and are only counted
}
