package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// ledger is a file that records which bytes of Pebble's logs and manifests are on stable storage. Pebble mistakes a
// damaged end of either for one that was never written, and does not notice a missing log; in both cases it would open an
// older state of the database without an error. The ledger makes this detectable damage.
//
// The file has two pages of text, padded with zeros. The page with the higher number is valid:
//
//	flawless store 2                               format
//	now 000004.log 8232 1a2b3c4d 5e6f7a8b          current log: name, bytes, their CRC-32C, CRC-32C of this line
//	000004.log 96 9c8b7a69                         each file that must exist, sorted by name
//	MANIFEST-000003 411 0f1e2d3c
//	newest 23                                      Pebble's sequence number at the last shutdown
//	page 17                                        number of the page
//	sum 4b5a6978                                   CRC-32C of all lines except the second
//
// The next page is written and synced at the first sync of a log, at each sync of a manifest, before one of them is
// removed or overwritten, and at a shutdown; the previous page does not change meanwhile. The second line is overwritten
// in place after each sync of the log, and synced once per second: it survives the end of the process, but may lag by a
// second after a power failure. Every page stays true, because the synced part of a file never changes: an older page
// only guarantees less.
type ledger struct {
	fs   vfs.FS
	path string
	data string // Pebble's directory
	crc  *crc32.Table

	mu     sync.Mutex
	file   vfs.File // kept open, like dir and Pebble's files: a sync must not need another descriptor
	dir    vfs.File
	page   uint64
	synced map[string]extent // by name
	now    string            // the current log
	newest uint64
	torn   error // what is wrong with the other page, or nil
	begun  bool  // the file contains synced
	dirty  bool  // the second line was written after the last sync of the file

	stop chan struct{}
	done sync.WaitGroup
}

// extent is the synced part of a file, from its start.
type extent struct {
	size int64
	sum  uint32
}

// storeFormat is the format that is written. Format 1 had a log of its own.
const storeFormat = flawless.StoreFormat

const (
	ledgerName = "synced"
	firstLine  = "flawless store "
	nowLength  = 96      // bytes of the second line, so that it is within a sector
	pageSize   = 8 << 10 // enough for more than a hundred files; about ten are usual
)

func newLedger(files vfs.FS, dir, data string) *ledger {
	return &ledger{fs: files, path: files.PathJoin(dir, ledgerName), data: data, crc: crc32.MakeTable(crc32.Castagnoli),
		synced: map[string]extent{}, stop: make(chan struct{})}
}

// openLedger reads the ledger of a locked directory, and verifies the files. In a new directory it creates an empty
// ledger.
func openLedger(files vfs.FS, dir, data string) (_ *ledger, err error) {
	l := newLedger(files, dir, data)
	text, err := readFile(files, l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := l.read(text); err != nil {
		return nil, err
	}
	// The first page is empty, and is replaced before anything is acknowledged.
	if l.begun = l.page > 1; l.begun {
		err = l.verify()
	} else {
		err = l.clear()
	}
	if err == nil {
		l.file, err = files.OpenReadWrite(l.path, vfs.WriteCategoryUnspecified)
	}
	if err == nil {
		l.dir, err = files.OpenDir(data)
	}
	if err == nil && l.page == 0 {
		if err = l.save(); err == nil {
			err = syncDir(files, dir)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// read reads the valid page. If there is none, the directory is new or damaged, because the ledger is written before
// Pebble creates a file.
func (l *ledger) read(text []byte) error {
	bad := l.pages(text)
	if l.page > 0 {
		l.torn = bad
		return nil
	}
	names, err := l.pebble()
	if err != nil || len(names) == 0 {
		return err
	}
	if bad == nil {
		bad = damage(l.path, "is missing, but there is a database (%s)", l.fs.PathJoin(l.data, names[0]))
	}
	return bad
}

// pages reads the page with the highest number, and returns the error of the first invalid page.
func (l *ledger) pages(text []byte) (bad error) {
	for page := range slices.Chunk(text, pageSize) {
		p := &ledger{path: l.path, crc: l.crc, synced: map[string]extent{}}
		if err := p.parse(bytes.TrimRight(page, "\x00")); err != nil {
			bad = cmp.Or(bad, err)
		} else if p.page > l.page {
			l.page, l.synced, l.newest = p.page, p.synced, p.newest
		}
	}
	return bad
}

// clear removes the rest of a database whose creation was interrupted by a crash. Nothing in it was acknowledged.
func (l *ledger) clear() error {
	names, err := l.pebble()
	for _, name := range names {
		err = errors.Join(err, l.fs.Remove(l.fs.PathJoin(l.data, name)))
	}
	return err
}

// pebble returns the names of Pebble's files, except the lock.
func (l *ledger) pebble() ([]string, error) {
	names, err := l.fs.List(l.data)
	return slices.DeleteFunc(names, func(name string) bool { return name == "LOCK" }), err
}

// damage returns an error for a damaged file.
func damage(path, format string, args ...any) error {
	return fmt.Errorf("file %s %s: restore the directory from a backup: %w", path, fmt.Sprintf(format, args...), flawless.Damaged)
}

// parse parses a page.
func (l *ledger) parse(text []byte) error {
	if n, err := formatOf(l.path, text); err != nil {
		return err
	} else if n != storeFormat {
		return otherFormat(n)
	}
	lines := strings.SplitAfter(string(text), "\n")
	last := len(lines) - 2 // the text ends with a newline
	if last < 2 {
		return damage(l.path, "is truncated")
	}
	if lines[last] != l.sumLine(lines[0], strings.Join(lines[2:last], "")) || lines[last+1] != "" {
		return damage(l.path, "has a wrong checksum")
	}
	var name string
	var e extent
	for _, line := range lines[2:last] {
		if _, err := fmt.Sscanf(line, "newest %d\n", &l.newest); err == nil {
			continue
		}
		if _, err := fmt.Sscanf(line, "page %d\n", &l.page); err == nil {
			continue
		}
		if _, err := fmt.Sscanf(line, "%s %d %x\n", &name, &e.size, &e.sum); err != nil {
			return damage(l.path, "has a line %q that cannot be read", line)
		}
		l.synced[name] = e
	}
	// Ignore a second line that was written incompletely: the lines after it are still valid.
	if _, err := fmt.Sscanf(lines[1], "now %s %d %x", &name, &e.size, &e.sum); err == nil && lines[1] == string(l.nowLine(name, e)) {
		if old, there := l.synced[name]; there && e.size > old.size {
			l.synced[name] = e
		}
	}
	return nil
}

// verify checks that everything that was on stable storage still exists.
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
			return damage(path, "has %d bytes, but %d were on stable storage", n, want.size)
		}
		if sum.Sum32() != want.sum {
			return damage(path, "has changed in the %d bytes that were on stable storage", n)
		}
	}
	return nil
}

// begin records that the database has been created: from now on, everything that was synced must exist.
func (l *ledger) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return nil
	}
	l.begun = true
	return l.save()
}

// note records the synced part of a file.
func (l *ledger) note(name string, e extent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.synced[name]
	l.synced[name] = e
	if !l.begun {
		return nil
	}
	if known && name == l.now {
		l.dirty = true
		_, err := l.file.WriteAt(l.nowLine(name, e), l.at()+int64(len(l.head())))
		return err
	}
	if isLog(name) {
		l.now = name
	}
	if !known { // the directory entry must be on stable storage, too
		if err := l.dir.Sync(); err != nil {
			return err
		}
	}
	return l.save()
}

// forget must be called before a file is removed or overwritten.
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

// finish records that everything up to the newest sequence number is on stable storage.
func (l *ledger) finish(newest uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = newest
	return l.save()
}

// keep syncs the second line once per second until the ledger is closed. It calls failed if a sync fails.
func (l *ledger) keep(failed func(err error)) {
	l.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := l.sync(); err != nil {
					failed(fmt.Errorf("syncing %s: %w", l.path, err))
					return
				}
			case <-l.stop:
				return
			}
		}
	})
}

func (l *ledger) sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil
	}
	l.dirty = false
	return l.file.SyncData()
}

func (l *ledger) close() (err error) {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range []vfs.File{l.file, l.dir} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// at returns the offset of the current page. Page 1 is at the start of the file.
func (l *ledger) at() int64 { return int64((l.page-1)%2) * pageSize }

func (l *ledger) head() string { return fmt.Sprintf("%s%d\n", firstLine, storeFormat) }

// nowLine returns the second line, which has a fixed length.
func (l *ledger) nowLine(name string, e extent) []byte {
	b := fmt.Appendf(nil, "now %s %d %08x ", name, e.size, e.sum)
	b = fmt.Appendf(b, "%08x", crc32.Checksum(b, l.crc))
	b = append(b, bytes.Repeat([]byte(" "), max(nowLength-len(b), 0))...)
	return append(b, '\n')
}

func (l *ledger) sumLine(head, rest string) string {
	return fmt.Sprintf("sum %08x\n", crc32.Checksum([]byte(head+rest), l.crc))
}

// save writes the next page. The caller holds mu.
func (l *ledger) save() error {
	l.page++
	var rest []byte
	if l.begun {
		for _, name := range slices.Sorted(maps.Keys(l.synced)) {
			rest = fmt.Appendf(rest, "%s %d %08x\n", name, l.synced[name].size, l.synced[name].sum)
		}
	}
	rest = fmt.Appendf(rest, "newest %d\npage %d\n", l.newest, l.page)
	page := make([]byte, pageSize)
	if n := copy(page, slices.Concat([]byte(l.head()), l.nowLine("none", extent{}), rest, []byte(l.sumLine(l.head(), string(rest))))); n == pageSize {
		return fmt.Errorf("writing %s: there are too many files (%d)", l.path, len(l.synced))
	}
	_, err := l.file.WriteAt(page, l.at())
	if err == nil {
		err = l.file.SyncData()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", l.path, err)
	}
	l.dirty = false
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
