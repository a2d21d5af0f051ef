// Package replay takes the turns of a log again with a guest and compares the calls of the guest with the log. This is
// the basis of replays, traces, memory inspection and the check before an upgrade. [Diff] compares two logs without a
// guest.
//
// The package needs no engine: the command line and rehearsals use it on exported logs. It changes neither the outside
// nor the run. If the code makes other calls than the log has, the outcome is a [flawless.Divergence]; an error means
// that the log cannot be read or that the context has ended.
package replay
