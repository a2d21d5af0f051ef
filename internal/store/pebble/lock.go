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
	owner  string // path of the file that says who uses it
	data   string // path of Pebble's directory
	pebble *cockroach.Lock
}

// acquire makes the directory where it is missing, and locks it.
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
		// Its lock is gone, or cannot be seen from here: some network file systems do not carry locks.
		log.Warn("the directory was last used on another host by a server that did not shut down: make sure that it is not running", "host", o.Host, "pid", o.PID, "since", o.Since)
	}
	return l, nil
}

// doubleLock locks the working directory itself besides Pebble's file LOCK: a lock on a file that somebody
// removes keeps nobody out of the file that takes its place. Both locks end at the same time, as Pebble
// closes what Lock returns.
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

// closers closes several things, one after the other.
type closers []io.Closer

// Close implements io.Closer.
func (all closers) Close() (err error) {
	for _, c := range all {
		err = errors.Join(err, c.Close())
	}
	return err
}

// owner is who uses a directory, as its file says.
type owner struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// String is for people.
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

// lastOwner returns who uses the directory, or used it and did not give it back; nil is unknown.
func (l *lock) lastOwner() *owner {
	text, err := readFile(l.fs, l.owner)
	o := &owner{}
	if err != nil || json.Unmarshal(text, o) != nil || o.PID == 0 {
		return nil
	}
	return o
}

// sign writes who uses the directory, to a file system that releases the reserve where the disk is full.
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

// release gives the directory back. While Pebble has not been closed the lock stays, as it may
// still write; it ends with the process.
func (l *lock) release() error {
	err := l.fs.Remove(l.owner)
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
