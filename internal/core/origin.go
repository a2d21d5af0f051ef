package core

import (
	"strconv"

	"github.com/flawless-engine/flawless"
)

// ChildID returns the id of the run that a run's call spawns.
func ChildID(run string, call int) string { return run + "." + strconv.Itoa(call) }

// OriginOf returns where a run has its past from that shares the turns of another one, up to a turn. before is the origin
// of that one, nil where it has none.
func OriginOf(of string, before *flawless.Origin, turn int) *flawless.Origin {
	o := &flawless.Origin{Run: of, Of: of, Turn: turn}
	if before != nil {
		o.Run, o.Redacted = before.Run, before.Redacted
	}
	return o
}
