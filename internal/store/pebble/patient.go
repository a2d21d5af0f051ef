package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// patient is the file system below the database. It retries operations after transient errors, for example while the
// process briefly has too many open files, so that one such error does not stop the database. The table rules says which
// operations it retries after which errors. After [patience] it returns the error.
//
// It never retries a sync. A system that cannot write a page may drop it and report success the next time, so after a
// failed sync the file must not be used any more: Pebble writes a table again under another name, and if it is the log or
// the manifest, the whole database fails.
type patient struct {
	vfs.FS
	log *slog.Logger
}

// patience is how long an operation is retried.
const patience = 5 * time.Second

// Pauses between two attempts. Each is twice as long as the previous one.
const (
	firstPause   = time.Millisecond
	longestPause = 250 * time.Millisecond
)

// operation is a kind of file system operation.
type operation string

const (
	opOpen    operation = "opening"
	opRead    operation = "reading"          // at an offset
	opReadOn  operation = "reading on"       // at the current offset
	opLook    operation = "looking at"       // stat, list, disk usage
	opCreate  operation = "creating"         // a file
	opMkdir   operation = "making directory" // and its parents
	opReopen  operation = "opening to write" // without truncating
	opRemove  operation = "removing"
	opWrite   operation = "writing"
	opRename  operation = "renaming"
	opLink    operation = "linking"
	opLock    operation = "locking"
	opSync    operation = "syncing"
	opReserve operation = "preallocating"
	opClose   operation = "closing"
)

// Transient errors. EAGAIN of a lock is not one, it means that another process has the lock.
var (
	noDescriptor = []syscall.Errno{syscall.EMFILE, syscall.ENFILE}
	disturbed    = []syscall.Errno{syscall.EINTR, syscall.EAGAIN, syscall.ENOMEM}
)

// rules says after which errors an operation is retried. An operation without any is never retried, because the first
// attempt may have taken effect, or because the error must not be lost.
var rules = map[operation]struct {
	after []syscall.Errno
	eio   bool // also once after an EIO
}{
	opOpen:    {slices.Concat(noDescriptor, disturbed), true},
	opRead:    {disturbed, true},
	opReadOn:  {disturbed, false}, // after an EIO, the offset is unknown
	opLook:    {slices.Concat(noDescriptor, disturbed), true},
	opCreate:  {slices.Concat(noDescriptor, disturbed), false}, // truncates what an earlier attempt has created
	opMkdir:   {slices.Concat(noDescriptor, disturbed), false},
	opReopen:  {slices.Concat(noDescriptor, disturbed), true},
	opRemove:  {disturbed, false}, // if the file is missing at the second attempt, the first one has removed it
	opWrite:   {disturbed, false}, // continues after the bytes that were written
	opRename:  {},                 // may have taken effect
	opLink:    {},
	opLock:    {},
	opSync:    {},
	opReserve: {},
	opClose:   {}, // the descriptor is closed, and may be reused by now
}

// try calls do until it succeeds, fails permanently, or patience is over.
func (p *patient) try(op operation, name string, do func() error) error {
	err := do()
	if err == nil {
		return nil
	}
	began, pause, eio := time.Now(), firstPause, rules[op].eio
	for tries := 1; ; tries++ {
		again := slices.ContainsFunc(rules[op].after, func(e syscall.Errno) bool { return errors.Is(err, e) })
		if !again && eio && errors.Is(err, syscall.EIO) {
			again, eio = true, false
		}
		if !again || time.Since(began) >= patience {
			return err
		}
		time.Sleep(pause)
		pause = min(2*pause, longestPause)
		before := err
		if err = do(); err == nil {
			p.log.Warn("transient file system error", "operation", string(op), "file", name, "error", before, "tries", tries+1)
			return nil
		}
	}
}

// file opens a file with do, and makes it patient.
func (p *patient) file(op operation, name string, do func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := p.try(op, name, func() (err error) { f, err = do(); return err })
	if err != nil {
		return nil, err
	}
	return &patientFile{f, p, name}, nil
}

// Unwrap implements vfs.FS.
func (p *patient) Unwrap() vfs.FS { return p.FS }

// Open implements vfs.FS.
func (p *patient) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return p.file(opOpen, name, func() (vfs.File, error) { return p.FS.Open(name, o...) })
}

// OpenDir implements vfs.FS.
func (p *patient) OpenDir(name string) (vfs.File, error) {
	return p.file(opOpen, name, func() (vfs.File, error) { return p.FS.OpenDir(name) })
}

// OpenReadWrite implements vfs.FS.
func (p *patient) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return p.file(opReopen, name, func() (vfs.File, error) { return p.FS.OpenReadWrite(name, c, o...) })
}

// Create implements vfs.FS.
func (p *patient) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.file(opCreate, name, func() (vfs.File, error) { return p.FS.Create(name, c) })
}

// ReuseForWrite implements vfs.FS. It renames and opens in two steps, so that only the second one is retried.
func (p *patient) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.Rename(old, name); err != nil {
		return nil, err
	}
	return p.OpenReadWrite(name, c)
}

// Remove implements vfs.FS.
func (p *patient) Remove(name string) error {
	tries := 0
	return p.try(opRemove, name, func() error {
		err := p.FS.Remove(name)
		if tries++; tries > 1 && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// MkdirAll implements vfs.FS.
func (p *patient) MkdirAll(dir string, perm os.FileMode) error {
	return p.try(opMkdir, dir, func() error { return p.FS.MkdirAll(dir, perm) })
}

// List implements vfs.FS.
func (p *patient) List(dir string) (names []string, err error) {
	err = p.try(opLook, dir, func() (err error) { names, err = p.FS.List(dir); return err })
	return names, err
}

// Stat implements vfs.FS.
func (p *patient) Stat(name string) (info vfs.FileInfo, err error) {
	err = p.try(opLook, name, func() (err error) { info, err = p.FS.Stat(name); return err })
	return info, err
}

// GetDiskUsage implements vfs.FS.
func (p *patient) GetDiskUsage(path string) (usage vfs.DiskUsage, err error) {
	err = p.try(opLook, path, func() (err error) { usage, err = p.FS.GetDiskUsage(path); return err })
	return usage, err
}

// patientFile is an open file of a patient.
type patientFile struct {
	vfs.File
	fs   *patient
	name string
}

// Read implements vfs.File.
func (f *patientFile) Read(b []byte) (n int, err error) {
	err = f.fs.try(opReadOn, f.name, func() (err error) {
		if n, err = f.File.Read(b); n > 0 && !errors.Is(err, io.EOF) {
			err = nil // the next read returns it
		}
		return err
	})
	return n, err
}

// ReadAt implements vfs.File.
func (f *patientFile) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.fs.try(opRead, f.name, func() (err error) { n, err = f.File.ReadAt(b, at); return err })
	if err == nil && len(b) >= largeBlock && strings.HasSuffix(f.name, ".sst") && !intact(b) {
		return 0, fmt.Errorf("the block at %d of table %s has a wrong checksum: %w", at, f.name, cockroach.ErrCorruption)
	}
	return n, err
}

// largeBlock is the size in bytes from which blocks of a table are checked when they are read. Pebble checks them too, but
// looks for the flipped bit in a damaged one by computing the checksum some 300,000 times: for a block with a value of a few
// megabytes that takes minutes, in which nothing can stop it. Pebble reads nothing else of this size from a table than one
// whole block.
const largeBlock = 16 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// intact reports whether the checksum at the end of a block is right. It is the masked CRC-32C of LevelDB's format.
func intact(b []byte) bool {
	at := len(b) - 4
	sum := crc32.Checksum(b[:at], castagnoli)
	return binary.LittleEndian.Uint32(b[at:]) == (sum>>15|sum<<17)+0xa282ead8
}

// Write implements vfs.File.
func (f *patientFile) Write(b []byte) (int, error) {
	return f.write(len(b), func(done int) (int, error) { return f.File.Write(b[done:]) })
}

// WriteAt implements vfs.File.
func (f *patientFile) WriteAt(b []byte, at int64) (int, error) {
	return f.write(len(b), func(done int) (int, error) { return f.File.WriteAt(b[done:], at+int64(done)) })
}

// write writes size bytes with rest, which writes what remains after done bytes.
func (f *patientFile) write(size int, rest func(done int) (int, error)) (done int, err error) {
	err = f.fs.try(opWrite, f.name, func() error {
		n, err := rest(done)
		if n < 0 || n > size-done {
			return fmt.Errorf("a write of %d bytes to %s reports that it wrote %d", size-done, f.name, n)
		}
		if done += n; err == nil && done < size {
			err = io.ErrShortWrite
		}
		return err
	})
	return done, err
}
