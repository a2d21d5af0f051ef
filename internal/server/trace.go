package server

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

type traced struct {
	Code
	Turn  int    `query:"turn" minimum:"0" doc:"only this turn"`
	Depth int    `query:"depth" minimum:"0" doc:"how deep the tree is shown"`
	Func  string `query:"func" doc:"only paths to functions whose name this regular expression matches"`
	All   bool   `query:"all" doc:"functions of the language's runtime, too"`
}

func (a *api) traces() {
	withCode(a, operation("trace-run", http.MethodPost, "/runs/{id}/trace", "The functions a run went through, from a replay"),
		func(ctx context.Context, in *traced) (*body[flawless.Trace], error) {
			o := engine.Trace{Turn: in.Turn, Depth: in.Depth, All: in.All}
			if in.Func != "" {
				var err error
				if o.Func, err = regexp.Compile(in.Func); err != nil {
					return nil, problem(fmt.Errorf("the pattern of functions %q is no regular expression: %v: %w", in.Func, err, flawless.Invalid))
				}
			}
			t, err := a.engine.Trace(ctx, in.ID, in.bin(), o)
			return &body[flawless.Trace]{t}, problem(err)
		})
}
