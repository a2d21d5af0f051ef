package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// ledger is a file that says which bytes of Pebble's logs and manifests are on stable storage. Pebble takes
// a damaged end of either for one that was never written, and does not miss a log that is gone; both would
// be an older database that looks whole. With the ledger they are damage.
//
//	flawless store 2                               format
//	now 000004.log 8232 1a2b3c4d 5e6f7a8b          the current log: name, bytes, their CRC-32C, that of this line
//	000004.log 96 9c8b7a69                         each file that must be there, in order of their names
//	MANIFEST-000003 411 0f1e2d3c
//	newest 23                                      Pebble's sequence number at the last orderly stop
//	sum 4b5a6978                                   CRC-32C of all lines but the second
//
// The file is replaced, durably, when a log gets its first sync, with each sync of a manifest, before one of
// them is removed or written over, and at an orderly stop. The second line is written in place after each
// sync of the log and not synced itself: it survives the end of the process, and the system writes it to
// the disk within its usual time. Each state of the file is true for ever after, as a file is never
// changed where it was synced: one that is older than the newest only promises less.
type ledger struct {
	fs   vfs.FS
	dir  string // where the file lies
	data string // Pebble's directory
	crc  *crc32.Table

	mu     sync.Mutex
	file   vfs.File          // as it was replaced last
	synced map[string]extent // by name
	now    string            // the current log
	newest uint64
	begun  bool // the file says what is in synced
}

// extent is the beginning of a file.
type extent struct {
	size int64
	sum  uint32
}

// storeFormat is the number of what a working directory holds. Format 1 had a log of its own.
const storeFormat = 2

const (
	ledgerName = "synced"
	ledgerTemp = "synced.new"
	firstLine  = "flawless store "
	nowLength  = 96 // bytes of the second line, so that it lies within a sector
)

// openLedger reads the ledger of a directory, which is locked. Its file does not exist in a new directory.
func openLedger(files vfs.FS, dir, data string) (*ledger, error) {
	l := &ledger{fs: files, dir: dir, data: data, crc: crc32.MakeTable(crc32.Castagnoli), synced: map[string]extent{}}
	text, err := readFile(files, l.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, l.create()
	case err != nil:
		return nil, err
	}
	if err := l.parse(text); err != nil {
		return nil, err
	}
	if l.begun = len(l.synced) > 0; !l.begun {
		return l, l.clear()
	}
	return l, l.verify()
}

func (l *ledger) path() string { return l.fs.PathJoin(l.dir, ledgerName) }

// create makes an empty ledger. It must be there before Pebble makes a file: files without one are damage.
func (l *ledger) create() error {
	names, err := l.pebble()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return damage(l.path(), "is missing, although there is a database (%s)", l.fs.PathJoin(l.data, names[0]))
	}
	return l.save()
}

// clear removes what a crash has left of a database that was being made. Nothing was ever acknowledged of it.
func (l *ledger) clear() error {
	names, err := l.pebble()
	for _, name := range names {
		err = errors.Join(err, l.fs.Remove(l.fs.PathJoin(l.data, name)))
	}
	return err
}

// pebble returns the names of Pebble's files, but for the lock.
func (l *ledger) pebble() ([]string, error) {
	names, err := l.fs.List(l.data)
	return slices.DeleteFunc(names, func(name string) bool { return name == "LOCK" }), err
}

// damage says that a file is not as it was.
func damage(path, format string, args ...any) error {
	return fmt.Errorf("file %s %s: restore the directory from a backup: %w", path, fmt.Sprintf(format, args...), flawless.Damaged)
}

// parse reads the text of a ledger.
func (l *ledger) parse(text []byte) error {
	if n, err := formatOf(l.path(), text); err != nil {
		return err
	} else if n != storeFormat {
		return otherFormat(n)
	}
	lines := strings.SplitAfter(string(text), "\n")
	last := len(lines) - 2 // nothing follows the last line end
	if last < 2 {
		return damage(l.path(), "is cut short")
	}
	sum := crc32.Checksum([]byte(lines[0]+strings.Join(lines[2:last], "")), l.crc)
	if lines[last] != fmt.Sprintf("sum %08x\n", sum) || lines[last+1] != "" {
		return damage(l.path(), "does not have its checksum")
	}
	for _, line := range lines[2:last] {
		var name string
		var e extent
		if _, err := fmt.Sscanf(line, "newest %d\n", &l.newest); err == nil {
			continue
		}
		if _, err := fmt.Sscanf(line, "%s %d %x\n", &name, &e.size, &e.sum); err != nil {
			return damage(l.path(), "has a line %q that cannot be read", line)
		}
		l.synced[name] = e
	}
	// A second line that is torn promises nothing: the lines behind it do.
	var name string
	var e extent
	if _, err := fmt.Sscanf(lines[1], "now %s %d %x", &name, &e.size, &e.sum); err == nil && lines[1] == string(l.nowLine(name, e)) {
		if old, there := l.synced[name]; there && e.size > old.size {
			l.synced[name] = e
		}
	}
	return nil
}

// verify checks that all is there that was on stable storage.
func (l *ledger) verify() error {
	for _, name := range slices.Sorted(maps.Keys(l.synced)) {
		path, want := l.fs.PathJoin(l.data, name), l.synced[name]
		f, err := l.fs.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return damage(path, "is missing")
		case err != nil:
			return err
		}
		sum := crc32.New(l.crc)
		n, err := io.Copy(sum, io.LimitReader(f, want.size))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if n < want.size {
			return damage(path, "has %d bytes, %d were on stable storage", n, want.size)
		}
		if sum.Sum32() != want.sum {
			return damage(path, "does not hold the %d bytes that were on stable storage", n)
		}
	}
	return nil
}

// begin says that the database is made: what was synced so far must be there from now on.
func (l *ledger) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return nil
	}
	l.begun = true
	return l.save()
}

// note says that the beginning of a file is on stable storage.
func (l *ledger) note(name string, e extent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.synced[name]
	l.synced[name] = e
	if !l.begun {
		return nil
	}
	if known && name == l.now {
		_, err := l.file.WriteAt(l.nowLine(name, e), int64(len(l.head())))
		return err
	}
	if isLog(name) {
		l.now = name
	}
	if !known { // that the file is there must be on stable storage, too
		if err := syncDir(l.fs, l.data); err != nil {
			return err
		}
	}
	return l.save()
}

// forget says that a file is about to be removed or written over.
func (l *ledger) forget(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.synced[name]; !known {
		return nil
	}
	delete(l.synced, name)
	if !l.begun {
		return nil
	}
	return l.save()
}

// finish says that all is on stable storage, up to the newest sequence number.
func (l *ledger) finish(newest uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = newest
	return l.save()
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func (l *ledger) head() string { return fmt.Sprintf("%s%d\n", firstLine, storeFormat) }

// nowLine returns the second line. Its length is always the same.
func (l *ledger) nowLine(name string, e extent) []byte {
	b := fmt.Appendf(nil, "now %s %d %08x ", name, e.size, e.sum)
	b = fmt.Appendf(b, "%08x", crc32.Checksum(b, l.crc))
	b = append(b, bytes.Repeat([]byte(" "), max(nowLength-len(b), 0))...)
	return append(b, '\n')
}

// save replaces the file. The caller holds mu.
func (l *ledger) save() error {
	head, rest := l.head(), []byte(nil)
	if l.begun {
		for _, name := range slices.Sorted(maps.Keys(l.synced)) {
			rest = fmt.Appendf(rest, "%s %d %08x\n", name, l.synced[name].size, l.synced[name].sum)
		}
	}
	rest = fmt.Appendf(rest, "newest %d\n", l.newest)
	rest = fmt.Appendf(rest, "sum %08x\n", crc32.Checksum(append([]byte(head), rest...), l.crc))
	text := slices.Concat([]byte(head), l.nowLine("none", extent{}), rest)

	temp := l.fs.PathJoin(l.dir, ledgerTemp)
	f, err := l.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(temp, l.path())
	}
	if err == nil {
		err = syncDir(l.fs, l.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", l.path(), err), f.Close())
	}
	old := l.file
	l.file = f
	if old != nil {
		return old.Close()
	}
	return nil
}

func readFile(files vfs.FS, path string) ([]byte, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}
