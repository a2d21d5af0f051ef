package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"github.com/flawless-engine/flawless"
)

// barrier is the name of an empty file in the directory that format 1 used for Pebble's files. Versions that only know
// format 1 would find an empty directory and repeat all work. Instead they take this file for the version of Pebble's
// files, fail to parse it, and show its name in their error.
const barrier = "marker.format-version.000001.a newer version of flawless wrote this directory (store format 2), use that one"

// checkFormat returns [flawless.Conflict] if a directory has another format. It changes nothing.
func checkFormat(files vfs.FS, dir string) error {
	l := newLedger(files, dir, "")
	text, err := readFile(files, l.path)
	if err == nil {
		if bad := l.pages(text); l.page == 0 && errors.Is(bad, flawless.Conflict) {
			return bad
		}
	}
	if err := checkPebble(files, files.PathJoin(dir, "data")); err != nil {
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // openLedger reports the error
	}
	if _, err := files.Stat(files.PathJoin(dir, "log")); err == nil {
		return otherFormat(1)
	}
	names, _ := files.List(files.PathJoin(dir, "db"))
	for _, name := range names {
		if name != barrier && name != "LOCK" {
			return otherFormat(1)
		}
	}
	return nil
}

// checkPebble returns [flawless.Conflict] if Pebble's files have a later version than ours. It leaves unreadable markers
// to Pebble.
func checkPebble(files vfs.FS, data string) error {
	names, err := files.List(data)
	if err != nil {
		return nil
	}
	m, value, err := atomicfs.LocateMarkerInListing(files, data, "format-version", names)
	if err != nil {
		return nil
	}
	if n, err := strconv.ParseUint(value, 10, 64); err == nil && n > uint64(format) {
		return errors.Join(fmt.Errorf("its database has format %d, but this version of flawless (%s) only knows format %d: use a newer version: %w",
			n, flawless.Version, uint64(format), flawless.Conflict), m.Close())
	}
	return m.Close()
}

// formatOf returns the format in a ledger.
func formatOf(path string, text []byte) (n int, err error) {
	if _, err := fmt.Sscanf(string(text), firstLine+"%d\n", &n); err != nil || n < storeFormat {
		return 0, damage(path, "does not begin with the format of the store")
	}
	return n, nil
}

func otherFormat(n int) error {
	if n > storeFormat {
		return fmt.Errorf("it has store format %d, but this version of flawless (%s) only knows format %d: use a newer version: %w",
			n, flawless.Version, storeFormat, flawless.Conflict)
	}
	return fmt.Errorf("it has store format %d, but this version of flawless (%s) only knows format %d and cannot convert it: "+
		"complete its runs with the version that wrote it and export them, then use another --working-dir and import them: %w",
		n, flawless.Version, storeFormat, flawless.Conflict)
}

// putBarrier creates the barrier.
func putBarrier(files vfs.FS, dir string) error {
	db := files.PathJoin(dir, "db")
	path := files.PathJoin(db, barrier)
	if _, err := files.Stat(path); err == nil {
		return nil
	}
	if err := mkdir(files, db); err != nil {
		return err
	}
	f, err := files.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(files, db))
}
