package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// lock is the right to use a working directory.
type lock struct {
	fs     vfs.FS
	dir    string
	pid    string // path of the file with the process's number
	data   string // path of Pebble's directory
	pebble *cockroach.Lock
}

// acquire makes the directory where it is missing, and locks it.
func acquire(files vfs.FS, dir string) (*lock, error) {
	l := &lock{fs: files, dir: dir, pid: files.PathJoin(dir, "pid"), data: files.PathJoin(dir, "data")}
	if err := mkdir(files, l.data); err != nil {
		return nil, explained(err)
	}
	var err error
	l.pebble, err = cockroach.LockDirectory(l.data, files)
	switch {
	case err != nil && (errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by")):
		return nil, fmt.Errorf("working directory %s is in use by another server (pid %s): stop it or use another --working-dir: %w",
			dir, l.owner(), flawless.Conflict)
	case err != nil:
		return nil, explained(err)
	}
	if err := l.sign(); err != nil {
		return nil, errors.Join(explained(err), l.pebble.Close())
	}
	return l, nil
}

// owner returns the number of the process that holds the lock, for people.
func (l *lock) owner() string {
	f, err := l.fs.Open(l.pid)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// sign writes the number of this process.
func (l *lock) sign() error {
	f, err := l.fs.Create(l.pid, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(strconv.AppendInt(nil, int64(os.Getpid()), 10))
	return errors.Join(err, f.Close())
}

// release gives the directory back. While Pebble has not been closed the lock stays, as it may
// still write; it ends with the process.
func (l *lock) release() error {
	err := l.fs.Remove(l.pid)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.pebble.Close())
}

// mkdir makes a directory and those above it that are missing, and syncs each entry it made.
func mkdir(files vfs.FS, dir string) error {
	var made []string
	for d := dir; ; d = files.PathDir(d) {
		if _, err := files.Stat(d); err == nil || files.PathDir(d) == d {
			break
		}
		made = append(made, files.PathDir(d))
	}
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range made {
		if err := syncDir(files, parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
