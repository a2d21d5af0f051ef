package engine

import (
	"context"
	"slices"
)

// tidyCode removes the compiled code of modules that no open run needs and that are not the newest of
// their name. A run that begins with one at this moment compiles it again.
func (e *Engine) tidyCode(ctx context.Context) error {
	select {
	case e.adding <- struct{}{}: // the code of a module that is being added is kept before the store has it
		defer func() { <-e.adding }()
	default:
		return nil // the next time
	}
	newest, err := e.store.Modules(ctx)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, m := range newest {
		needed[m.Digest] = true
	}
	if slices.ContainsFunc(e.guest.Kept(), func(digest string) bool { return !needed[digest] }) {
		users, err := e.users(ctx)
		if err != nil {
			return err
		}
		for digest := range users {
			needed[digest] = true
		}
	}
	if freed := e.guest.RemoveCode(func(digest string) bool { return needed[digest] }); freed > 0 {
		e.log.Info("compiled code that no run needs was removed", "bytes", freed)
	}
	return nil
}
