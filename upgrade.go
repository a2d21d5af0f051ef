package flawless

import "time"

// Verdict is the result of replaying a run with other code.
type Verdict string

// Values of [Verdict].
const (
	Continues Verdict = "goes on"        // its calls match the log
	Diverges  Verdict = "diverged"       // its calls differ from the log
	Undecided Verdict = "cannot be told" // the log cannot be replayed
)

// RunUpgrade is the result of an upgrade for one run.
type RunUpgrade struct {
	Run         string      `json:"run"`
	Workflow    string      `json:"workflow"`
	From        string      `json:"from"`                   // digest of its module
	FromVersion int         `json:"from_version,omitempty"` // 0 if unknown
	Turns       int         `json:"turns"`                  // number of turns replayed
	Calls       int         `json:"calls"`
	Verdict     Verdict     `json:"verdict"`
	Moved       bool        `json:"moved"`
	Reason      string      `json:"reason,omitempty"` // why the run could not be checked, or was not moved
	Divergence  *Divergence `json:"divergence,omitempty"`
}

// DefaultUpgradeRuns and MaxUpgradeRuns are the default and the maximum number of runs that a report names.
const (
	DefaultUpgradeRuns = 1000
	MaxUpgradeRuns     = 100_000
)

// Looked returns the number of runs that were checked.
func (u *ModuleUpgrade) Looked() int { return u.Continue + u.Diverge + u.Undecided }

// ModuleUpgrade is the report of an upgrade.
type ModuleUpgrade struct {
	Module    string        `json:"module"`
	Version   int           `json:"version"` // the new version; 0 if it was not added
	Digest    string        `json:"digest"`
	DryRun    bool          `json:"dry_run"`
	Already   int           `json:"already"` // open runs that already have it
	Continue  int           `json:"go_on"`
	Diverge   int           `json:"diverged"`
	Undecided int           `json:"cannot_be_told"`
	Moved     int           `json:"moved"`
	Took      time.Duration `json:"took_ns"`
	Runs      []RunUpgrade  `json:"runs"`               // runs that were checked; those that cannot continue first
	LeftOut   int           `json:"left_out,omitempty"` // number of further runs that were checked, and only counted
}
