package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// home is the directory of a store, and whether it is a copy of another one.
type home struct {
	dir    string
	accept bool // accept a copy (--accept-copy)
	log    *slog.Logger
	mark   *workdir.Mark
	copied error // why it is known to be a copy, or nil
}

// examine examines a directory before anything in it is opened. It returns [workdir.Copied] for a copy that is
// not accepted.
func examine(dir string, accept bool, log *slog.Logger) (*home, error) {
	h := &home{dir: dir, accept: accept, log: log}
	var err error
	h.mark, err = workdir.Look(dir)
	return h, h.judge(err)
}

// judge notes an error that says that the directory is an accepted copy. It returns any other.
func (h *home) judge(err error) error {
	if h.accept && errors.Is(err, workdir.Copied) {
		h.copied = err
		return nil
	}
	return err
}

// enter compares the directory with the store that was opened in it, and turns an accepted copy into a separate
// store. After a crash in the middle, the copy must be accepted again or has become a separate store.
func (h *home) enter(ctx context.Context, st *store.Store) error {
	last, err := st.LastEpoch(ctx)
	if err != nil {
		return fmt.Errorf("reading the start counter of the store: %w", err)
	}
	if h.copied == nil {
		if err := h.judge(workdir.Match(h.dir, h.mark, st.Identity(), last)); err != nil {
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
	// Sign before any work begins: a directory without a mark that has done work is considered a copy.
	return workdir.Sign(h.dir, st.Identity(), last, time.Now())
}

// makePrivate creates a directory that only its owner can read, whatever the permissions of its parent: logs contain
// everything that runs have sent and received.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("cannot restrict access to %s: %v; it must belong to the user that runs the server: %w", dir, err, flawless.Invalid)
	}
	return nil
}

// checkWritable creates the working directory and checks with try that it is writable. A full disk is no error: the
// store has a reserve with which the server completes work in progress.
func checkWritable(dir string, try func(dir string) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := try(dir); err != nil && !isFull(err) {
		return unwritable(dir, err)
	}
	return nil
}

// tryFile creates a file in a directory, writes to it and removes it.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".write-*")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "x")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// unwritable explains why a directory cannot be created or written.
func unwritable(dir string, err error) error {
	if isFull(err) {
		return fmt.Errorf("cannot create the directory %s: %w", dir, err)
	}
	return fmt.Errorf("the working directory %s is not writable: %v; choose another with --working-dir: %w", dir, err, flawless.Invalid)
}
