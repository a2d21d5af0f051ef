// Package outfile writes files that the user has named: as a whole or not at all, and with errors that name them.
package outfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
)

// Write writes what write produces to a file and returns its size. If write returns an error, the file is not
// changed.
func Write(file string, write func(io.Writer) error) (n int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(file), ".part-*") // readable by its owner only
	if err != nil {
		return 0, Refused(file, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	if err := write(part); err != nil {
		return 0, errors.Join(err, part.Close())
	}
	info, err := part.Stat()
	if err := errors.Join(err, part.Close()); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return 0, Refused(file, err)
	}
	return info.Size(), nil
}

// Refused returns the error for a file that the user named and that cannot be created. It leaves out the names of
// other files, which err may have.
func Refused(file string, err error) error {
	var at *os.PathError
	var link *os.LinkError
	switch {
	case errno.Full(err):
		return fmt.Errorf("writing %s: %w", file, err)
	case errors.As(err, &at):
		err = at.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("writing %s: %v; give a file that you may write: %w", file, err, flawless.Invalid)
}
