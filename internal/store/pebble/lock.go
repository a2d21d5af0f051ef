package pebble

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
)

// lock is the right to use a working directory.
type lock struct {
	fs     vfs.FS
	dir    string
	owner  string // path of the file that names the owner
	data   string // directory of Pebble
	pebble *cockroach.Lock
}

// acquire creates the directory if necessary, and locks it.
func acquire(files vfs.FS, dir string, log *slog.Logger) (*lock, error) {
	l := &lock{fs: files, dir: dir, owner: files.PathJoin(dir, "owner"), data: files.PathJoin(dir, "data")}
	if err := mkdir(files, l.data); err != nil {
		return nil, explained(err)
	}
	var err error
	l.pebble, err = cockroach.LockDirectory(l.data, doubleLock{files, dir})
	switch {
	case err != nil && (errno.Locked(err) || strings.Contains(err.Error(), "lock held by")):
		return nil, fmt.Errorf("working directory %s is in use by another server (%s): stop it or use another --working-dir: %w",
			dir, l.lastOwner(), flawless.Conflict)
	case err != nil:
		return nil, explained(err)
	}
	here, _ := os.Hostname()
	if o := l.lastOwner(); o != nil && o.Host != here {
		// Its lock is gone, or not visible here: some network file systems do not share locks.
		log.Warn("the directory was last used on another host by a server that did not shut down: make sure that it is not running", "host", o.Host, "pid", o.PID, "since", o.Since)
	}
	return l, nil
}

// doubleLock locks the working directory itself in addition to Pebble's file LOCK: if someone removes that file, its lock
// does not protect the new file of the same name. Both locks end together, because Pebble closes what Lock returns.
type doubleLock struct {
	vfs.FS
	dir string
}

// Lock implements vfs.FS.
func (l doubleLock) Lock(name string) (io.Closer, error) {
	d, err := l.FS.OpenDir(l.dir)
	if err != nil {
		return nil, err
	}
	if err := hold(d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	file, err := l.FS.Lock(name)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return closers{file, d}, nil
}

// closers closes all of its elements in order.
type closers []io.Closer

// Close implements io.Closer.
func (all closers) Close() (err error) {
	for _, c := range all {
		err = errors.Join(err, c.Close())
	}
	return err
}

// owner is the process that uses a directory, as recorded in the file owner.
type owner struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// String formats the owner for error messages.
func (o *owner) String() string {
	if o == nil {
		return "unknown process"
	}
	host := "host " + o.Host
	if here, err := os.Hostname(); err == nil && here != o.Host {
		host = "another host, " + o.Host
	}
	return fmt.Sprintf("process %d on %s, since %s", o.PID, host, o.Since.UTC().Format(time.RFC3339))
}

// lastOwner returns the process that uses the directory or did not shut down, or nil if it is unknown.
func (l *lock) lastOwner() *owner {
	text, err := readFile(l.fs, l.owner)
	o := &owner{}
	if err != nil || json.Unmarshal(text, o) != nil || o.PID == 0 {
		return nil
	}
	return o
}

// sign records this process as the owner. files releases the reserve if the disk is full.
func (l *lock) sign(files vfs.FS) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	text, err := json.Marshal(owner{Host: host, PID: os.Getpid(), Since: time.Now().UTC()})
	if err != nil {
		return err
	}
	f, err := files.Create(l.owner, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

// release releases the directory. If Pebble was not closed, the lock remains until the process ends, because Pebble may
// still write.
func (l *lock) release() error {
	err := l.fs.Remove(l.owner)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.pebble.Close())
}

// mkdir creates a directory and missing parents, and syncs each new entry.
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
