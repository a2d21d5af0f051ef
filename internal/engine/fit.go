package engine

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/value"
)

// readsInput returns nil where the input of a run fits its workflow in a module.
func readsInput(m *guest.Module, begun flawless.Start) error {
	code := flawless.Module{Manifest: m.Manifest()}
	w := code.Workflow(begun.Workflow)
	if w == nil {
		return nil // there are better errors for that
	}
	l := &loading{schemas: map[string]*value.Schema{}}
	return l.checkInput(*w, begun.Input)
}
