package core

import (
	"strconv"

	"github.com/flawless-engine/flawless"
)

// ChildID returns the id of the run that a call of a run spawns.
func ChildID(run string, call int) string { return run + "." + strconv.Itoa(call) }

// OriginOf returns the origin of a run that shares the past of another one up to a turn. before is the origin of that
// run, nil if it has none.
func OriginOf(of string, before *flawless.Origin, turn int) *flawless.Origin {
	o := &flawless.Origin{Run: of, Of: of, Turn: turn}
	if before != nil {
		o.Run, o.Redacted = before.Run, before.Redacted
	}
	return o
}
