package core

import (
	"github.com/flawless-engine/flawless"
)

// MaxBatch is how many answers a turn delivers, and how many due entries are written at once. It is far below what a
// record may hold; the others follow in the next batch.
const MaxBatch = flawless.MaxItems / 16
