package daemon

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestFullDiskCountsAsWritable checks that a server starts on a full disk, from the reserve of its store, although
// the trial file cannot be written.
func TestFullDiskCountsAsWritable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		want error
	}{
		{nil, nil},
		{syscall.ENOSPC, nil},
		{syscall.EDQUOT, nil},
		{syscall.EROFS, flawless.Invalid},
		{syscall.EACCES, flawless.Invalid},
	} {
		err := checkWritable(t.TempDir(), func(dir string) error {
			if row.err == nil {
				return tryFile(dir)
			}
			return &os.PathError{Op: "write", Path: dir, Err: row.err}
		})
		if !errors.Is(err, row.want) {
			t.Errorf("%v: %v, want %v", row.err, err, row.want)
		}
	}
}
