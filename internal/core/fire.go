package core

import (
	"github.com/flawless-engine/flawless"
)

// MaxAtOnce is how many answers a turn delivers, and how many entries are written at once because their time has
// come: far fewer than a record may have. The others follow.
const MaxBatch = flawless.MaxItems / 16
