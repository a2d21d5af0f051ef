package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// home is the directory that a store lies in, and what it says of itself.
type home struct {
	dir    string
	accept bool // a person has said that a copy goes on
	log    *slog.Logger
	mark   *workdir.Mark
	copied error // why it is a copy; nil is not known to be one
}

// lookAt looks at a directory before anything in it is opened. It returns [workdir.Copied] for a copy that
// nobody has accepted.
func lookAt(dir string, accept bool, log *slog.Logger) (*home, error) {
	h := &home{dir: dir, accept: accept, log: log}
	var err error
	h.mark, err = workdir.Look(dir)
	return h, h.judge(err)
}

// judge takes in whether it is a copy, and returns err where it may not go on.
func (h *home) judge(err error) error {
	if h.accept && errors.Is(err, workdir.Copied) {
		h.copied = err
		return nil
	}
	return err
}

// enter looks at the store that was opened in the directory, and makes an accepted copy a store of its own.
// A crash in the middle leaves a copy that has to be accepted again, or one that is.
func (h *home) enter(ctx context.Context, st *store.Store) error {
	last, err := st.LastLease(ctx)
	if err != nil {
		return fmt.Errorf("reading the start counter of the store: %w", err)
	}
	if h.copied == nil {
		if err := h.judge(workdir.Match(h.dir, h.mark, st.Identity(), last.Epoch)); err != nil {
			return err
		}
	}
	if h.copied == nil && h.mark != nil {
		if h.accept {
			h.log.Info("--accept-copy has no effect: the working directory is not a copy")
		}
		return nil
	}
	if h.copied != nil {
		if err := st.Adopt(ctx, time.Now()); err != nil {
			return err
		}
		h.log.Warn("the working directory is a copy, and is now a separate store", "store", st.Identity().ID, "origin", st.Identity().Origin)
	}
	// Signed before anything is begun: a directory without a mark, in which something has, is taken for a copy.
	return workdir.Sign(h.dir, st.Identity(), last.Epoch, time.Now())
}
