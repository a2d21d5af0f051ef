package workdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
)

const lockName = "server.lock"

// Hold locks a working directory whose store is elsewhere, and therefore does not lock it. It returns
// [flawless.Conflict] if another server holds it. release ends the lock, as does the end of the process; the file stays.
// sure is false if the file system has no locks, so another server may use the directory.
func Hold(dir string) (release func() error, sure bool, err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("locking the working directory: %w", err)
	}
	sure, err = hold(f)
	if err != nil {
		if errno.Locked(err) {
			err = fmt.Errorf("working directory %s is in use by another server: stop it or use another --working-dir: %w", dir, flawless.Conflict)
		}
		return nil, false, errors.Join(err, f.Close())
	}
	return f.Close, sure, nil
}
