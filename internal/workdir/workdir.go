// Package workdir distinguishes the directory of a store from a copy of it.
//
// It hides what a file system knows about a file besides its content. The file named identity holds its own inode and
// creation time. In a copy, a restored backup or a directory moved from another file system they differ; in a renamed
// directory they do not. The package changes only that file. It cannot detect a copy of the whole file system, such as
// a volume snapshot, or a copy on a system without inodes.
package workdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flawless-engine/flawless"
)

// Copied is the error for a directory other than the one in which the store was last opened.
const Copied flawless.Code = "a copy of a store"

const (
	fileName = "identity"
	dataName = "data" // directory of the Pebble files

	fileFormat = 1
)

// Mark identifies the store of a directory and the server that last opened it.
type Mark struct {
	Format int       `json:"format"`
	Store  string    `json:"store"`  // its id
	Start  uint64    `json:"start"`  // number of starts
	Opened time.Time `json:"opened"` // time of that start
	Host   string    `json:"host"`
	PID    int       `json:"pid"`

	File place `json:"file"` // the identity file itself
	Dir  place `json:"dir"`  // the directory that contains it
	Data place `json:"data"` // the database directory
}

// place is the identity of a file, which its copies do not share. A zero field is unknown.
type place struct {
	Inode uint64 `json:"inode,omitempty"`
	Born  int64  `json:"born,omitempty"` // Unix nanoseconds
	links uint64 // number of hard links
}

// is reports whether two identities can belong to the same file.
func (p place) is(q place) bool {
	return (p.Inode == 0 || q.Inode == 0 || p.Inode == q.Inode) && (p.Born == 0 || q.Born == 0 || p.Born == q.Born)
}

// Look reads the mark of a directory before anything in it is opened. It returns nil if there is none; [Copied] and
// the mark of the original if the directory is a copy; and [flawless.Damaged] if the directory has a mark but no
// database.
func Look(dir string) (*Mark, error) {
	path := filepath.Join(dir, fileName)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the identity of directory %s: %w", dir, err)
	}
	m := &Mark{}
	bad := json.Unmarshal(text, m)
	if bad == nil && m.Store != "" && m.Format != fileFormat {
		return nil, fmt.Errorf("the identity file %s has format %d, this version of flawless (%s) knows format %d: use a newer version: %w",
			path, m.Format, flawless.Version, fileFormat, flawless.Conflict)
	}
	if err := m.checkData(dir); err != nil {
		return nil, err
	}
	if bad != nil || m.Store == "" {
		return nil, refusal(dir, nil, "its identity file cannot be read")
	}
	file, err := placeOf(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity of directory %s: %w", dir, err)
	}
	switch {
	case !m.File.is(file):
		return m, refusal(dir, m, fmt.Sprintf("its identity file is not the one that start %d wrote", m.Start))
	case !m.sameDir(filepath.Join(dir, dataName), m.Data):
		return m, refusal(dir, m, fmt.Sprintf("its database is not in the directory that start %d used", m.Start))
	case file.links > 1 && !m.sameDir(dir, m.Dir): // made by cp -l, for example
		return m, refusal(dir, m, "its identity file is shared with another directory by a hard link")
	}
	return m, nil
}

// checkData returns [flawless.Damaged] if a directory with a mark has lost its database. The mark is written after the
// database, so this is not a new store, and an empty database would repeat all work.
func (m *Mark) checkData(dir string) error {
	data := filepath.Join(dir, dataName)
	entries, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the directory of the database: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "LOCK" {
			return nil
		}
	}
	of := ""
	if m.Store != "" {
		of = " of store " + m.Store
	}
	return fmt.Errorf("the database%s is missing, %s has no files: restore the whole directory %s from a backup: %w", of, data, dir, flawless.Damaged)
}

// sameDir reports whether a directory can be the recorded one. If it does not exist, the code that needs it reports
// that.
func (m *Mark) sameDir(dir string, was place) bool {
	is, err := placeOf(dir)
	return err != nil || was.is(is)
}

// Match compares the mark of a directory, which may be nil, with the store in it and its number of starts. It returns
// [Copied] if they do not match.
func Match(dir string, m *Mark, id flawless.Identity, starts uint64) error {
	switch {
	case m == nil && starts == 0: // a new store
		return nil
	case m == nil:
		return refusal(dir, &Mark{Store: id.ID, Start: starts}, "it has no identity file")
	case m.Store != id.ID:
		return refusal(dir, m, fmt.Sprintf("the database in it is that of store %s", id.ID))
	case m.Start > starts:
		return refusal(dir, m, fmt.Sprintf("the database in it is older, it was last opened at start %d", starts))
	}
	return nil
}

// refusal returns why a directory is not opened and what to do. m is the mark of the original, if known.
func refusal(dir string, m *Mark, why string) error {
	of := "of an unknown store"
	if m != nil {
		of = "of store " + m.Store
		if m.Host != "" {
			of += fmt.Sprintf(" (last opened %s on host %s, process %d, start %d)", m.Opened.UTC().Format(time.RFC3339), m.Host, m.PID, m.Start)
		} else {
			of += fmt.Sprintf(" (last opened at start %d)", m.Start)
		}
	}
	return fmt.Errorf("directory %s is a copy %s, or was restored or moved from another file system: %s. "+
		"The original may have continued, and may be running now. This copy does not know what the original has done since, so continuing would repeat it, including payments. "+
		"If the original is still in use, use that one, and nothing is lost. "+
		"If this directory replaces the original, start it once with: flawless up --accept-copy. "+
		"It then becomes a separate store, in which every open run and every schedule is held until you resume it: %w", dir, of, why, Copied)
}

// Sign writes the mark of a store with its number of starts. After a crash, the old or the new mark is there.
func Sign(dir string, id flawless.Identity, start uint64, now time.Time) error {
	if err := sign(dir, id, start, now); err != nil {
		return fmt.Errorf("writing the identity of directory %s: %w", dir, err)
	}
	return nil
}

func sign(dir string, id flawless.Identity, start uint64, now time.Time) error {
	host, _ := os.Hostname()
	m := Mark{Format: fileFormat, Store: id.ID, Start: start, Opened: now.UTC(), Host: host, PID: os.Getpid()}
	err := replace(dir, fileName, &m, func(temp string) error {
		for _, p := range []struct {
			path string
			at   *place
		}{{temp, &m.File}, {dir, &m.Dir}, {filepath.Join(dir, dataName), &m.Data}} {
			var err error
			if *p.at, err = placeOf(p.path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// replace replaces a JSON file atomically. It calls complete with the path of the new file, which keeps its inode,
// before writing value.
func replace(dir, name string, value any, complete func(path string) error) error {
	temp := filepath.Join(dir, name+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = complete(temp); err == nil {
		var text []byte
		if text, err = json.MarshalIndent(value, "", "  "); err == nil {
			_, err = f.Write(append(text, '\n'))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, name))
}
