// Package replay takes the turns of a log again with a guest, and compares what the guest asks for with what the log
// says. From that come the replay of a run, its trace, the inspection of its memory, and the check before an upgrade.
// [Diff] compares two logs without a guest.
//
// It needs no engine: the command line and rehearsals use it on exported logs. It touches neither the outside nor the run.
// That the code asks for something else than the log says is an outcome, a [flawless.Divergence]; an error is a log that
// cannot be read, or the context's.
package replay
