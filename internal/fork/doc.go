// Package fork makes the log of a run that goes on from the past of another one, and tries out how that would go.
//
// An answer of the other run holds for the fork where it tells of the world. A call of the past that has no such answer
// waits for the real one where there will be one, is carried out for the fork where that harms nobody, or its outcome is
// unknown: no answer is made up.
package fork
