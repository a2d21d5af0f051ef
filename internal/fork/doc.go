// Package fork creates the log of a run that continues from the past of another run, and can try out what would
// follow.
//
// An answer of the original run is valid for the fork if it describes the world. A call of the past without such an
// answer waits for the real answer if there will be one, is performed for the fork if that is harmless, or gets an
// unknown outcome. No answer is invented.
package fork
