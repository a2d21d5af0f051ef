// Package table tries packages in a workflow.
package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	flawless "github.com/flawless-engine/flawless/sdk/go"
	"github.com/flawless-engine/flawless/sdk/go/nethttp"
)

// Try offers the workflow "packages". Its output is what went wrong with each package, "" where nothing did.
func Try(all map[string]func(context.Context) error) {
	nethttp.Install()
	flawless.Workflow("packages", func(ctx context.Context, _ struct{}) (map[string]string, error) {
		out := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			out[name] = ""
			if err := try(ctx, all[name]); err != nil {
				out[name] = err.Error()
			}
		}
		return out, nil
	})
}

func try(ctx context.Context, use func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return use(ctx)
}

// Check fails where a package did not give what it should have.
func Check(ok bool) error {
	if !ok {
		return errors.New("wrong result")
	}
	return nil
}

// First returns the first of some errors.
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
