package admin

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/word"
)

// maxLooked is how many runs a page looks at to say which of them have something in common, such as a version.
const maxLooked = 500

// tally is a number of runs among those that were looked at.
type tally struct {
	N    int
	More bool // not all were looked at
}

// String returns it with separators, and a + if there may be more.
func (t tally) String() string {
	if t.More {
		return word.Number(t.N) + "+"
	}
	return word.Number(t.N)
}

// upTo returns up to maxLooked runs that match a filter, newest first, and whether there are more.
func (v *Visit) upTo(f flawless.Filter) (runs []flawless.Run, more bool, err error) {
	f.Limit = maxLooked
	for len(runs) < maxLooked {
		page, next, err := v.Client.Runs(v.ctx(), f)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, page...)
		if f.Cursor = next; next == "" {
			return runs, false, nil
		}
	}
	return runs, true, nil
}
