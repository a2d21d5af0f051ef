package engine

import "context"

// tidyCode removes the compiled code that no run needs.
func (e *Engine) tidyCode(ctx context.Context) error {
	freed, err := e.library.Tidy(ctx, e.users)
	if freed > 0 {
		e.log.Info("compiled code that no run needs was removed", "bytes", freed)
	}
	return err
}
