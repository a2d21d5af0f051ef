package workdir

import (
	"os"

	"golang.org/x/sys/windows"
)

// hold locks a file until it is closed.
func hold(f *os.File) (sure bool, err error) {
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	return err == nil, err
}
