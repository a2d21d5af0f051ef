package merge

import "github.com/flawless-engine/flawless/internal/store/key"

// Position is the position of a run, which is the same in every list: created:8 id, as in a key. Newer runs have higher
// positions.
type Position []byte

// ID returns the id of the run.
func (p Position) ID() string {
	ps := key.Split(p, 8)
	return ps.Text()
}

// Check returns [flawless.Damaged] if p is not a position.
func (p Position) Check() error {
	ps := key.Split(p, 8)
	ps.Text()
	return ps.Whole(p)
}
