package pebble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// slots are the files of the log. Each was written with zeros and synced before it was used: a sync of it
// writes data alone then, where that of a growing file writes its length and its map of blocks too,
// which takes twice as long. When all that it holds is in tables it is used again: so they are few, and
// one more than is needed is kept ready.
//
// The first block of a slot is its head. It is written and synced before any record of it, and lies within
// a sector, which a disk writes whole or not at all.
type slots struct {
	fs     vfs.FS // with care for a full disk
	base   vfs.FS // without: zeros that nobody waits for are not worth spending the reserve
	dir    string
	size   int64
	broken func() bool

	mu      sync.Mutex
	all     []*slot
	current *slot
	closed  bool
	working sync.WaitGroup
}

// slot is one file.
type slot struct {
	name   string
	size   int64
	number uint64 // of its content, which counts up; 0 is nothing
	oldest uint64 // the oldest content that was needed when this one began
	first  uint64 // number of its first record
	last   uint64 // number of its last record
	needed bool   // some of it may be in no table
	taken  bool   // somebody makes it, begins it, or removes it
}

const (
	slotMagic = "FLAWLOG"
	logFormat = 1
	slotEnd   = ".log"
	mostFree  = 2       // slots that are kept ready
	zeros     = 1 << 20 // bytes written at a time
)

// head returns the first block.
func (s *slot) head() []byte {
	b := aligned(block)
	b[copy(b, slotMagic)] = logFormat
	binary.LittleEndian.PutUint64(b[8:], s.number)
	binary.LittleEndian.PutUint64(b[16:], s.oldest)
	binary.LittleEndian.PutUint64(b[24:], s.first)
	binary.LittleEndian.PutUint32(b[32:], crc32.Checksum(b, castagnoli))
	return b
}

// parse reads the first block.
func (s *slot) parse(b []byte) error {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return nil // never used
	}
	if format := b[len(slotMagic)]; bytes.HasPrefix(b, []byte(slotMagic)) && format > logFormat {
		return fmt.Errorf("it has format %d, this version of flawless (%s) knows formats up to %d: use a newer one: %w",
			format, flawless.Version, logFormat, flawless.Conflict)
	}
	s.number, s.oldest, s.first = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	if s.number == 0 || s.first == 0 || !bytes.Equal(b, s.head()) {
		return errTorn
	}
	return nil
}

// open finds the slots there are.
func (s *slots) open() error {
	if err := mkdir(s.base, s.dir); err != nil {
		return err
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, slotEnd) {
			continue
		}
		one := &slot{name: s.fs.PathJoin(s.dir, name)}
		if err := s.read(one); err != nil {
			return fmt.Errorf("log file %s: %w", one.name, err)
		}
		s.all = append(s.all, one)
	}
	return nil
}

func (s *slots) read(one *slot) error {
	f, err := s.fs.Open(one.name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	one.size = info.Size()
	head := make([]byte, block)
	if one.size < block { // a crash while it was made
		return nil
	}
	if _, err := f.ReadAt(head, 0); err != nil && !isEnd(err) {
		return err
	}
	return one.parse(head)
}

// needed returns the slots that have what may be in no table, oldest first.
func (s *slots) needed() ([]*slot, error) {
	var all []*slot
	for _, one := range s.all {
		if one.number > 0 {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b *slot) int { return cmp.Compare(a.number, b.number) })
	newest := all[len(all)-1]
	all = slices.DeleteFunc(all, func(one *slot) bool { return one.number < newest.oldest })
	if missing := newest.number - newest.oldest + 1 - uint64(len(all)); missing != 0 {
		return nil, fmt.Errorf("%d of the log files before %s are not there: %w", missing, newest.name, errTorn)
	}
	for _, one := range all {
		one.needed, one.last = true, math.MaxUint64 // until empty is called
	}
	s.current = newest
	return all, nil
}

// flushed says that all records up to n are in tables.
func (s *slots) flushed(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one != s.current && one.last <= n {
			one.needed = false
		}
	}
}

// empty says that all there is is in tables.
func (s *slots) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		one.needed = false
	}
}

// holds says that the current slot has records up to n.
func (s *slots) holds(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.last = n
}

// take makes another slot the current one. Its head is on stable storage.
func (s *slots) take(first uint64) (*walFile, error) {
	one := s.free()
	if one == nil {
		var err error
		if one, err = s.make(s.fs); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	next := *one
	next.number, next.first, next.last, next.needed, next.taken = 1, first, 0, true, false
	if s.current != nil {
		next.number = s.current.number + 1
	}
	next.oldest = next.number
	for _, other := range s.all {
		if other.needed {
			next.oldest = min(next.oldest, other.number)
		}
	}
	s.mu.Unlock()
	f, err := s.fs.OpenReadWrite(next.name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	w := newWALFile(f, max(next.size, s.size))
	if err = w.write(next.head()); err == nil {
		err = w.sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*one = next
	s.current = one
	if !s.closed {
		s.working.Go(s.tidy)
	}
	return w, nil
}

// free takes a slot that holds nothing that is needed; nil is none.
func (s *slots) free() *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if s.usable(one) {
			one.taken = true
			return one
		}
	}
	return nil
}

// make makes a slot of zeros, which is taken. A crash leaves one that is too small at most.
func (s *slots) make(fs vfs.FS) (*slot, error) {
	s.mu.Lock()
	name := ""
	for k := 1; name == "" || slices.ContainsFunc(s.all, func(one *slot) bool { return one.name == name }); k++ {
		name = s.fs.PathJoin(s.dir, fmt.Sprint(k, slotEnd))
	}
	one := &slot{name: name, taken: true}
	s.all = append(s.all, one)
	s.mu.Unlock()
	size, err := s.fill(fs, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.all = slices.DeleteFunc(s.all, func(other *slot) bool { return other == one })
		return nil, err
	}
	one.size = size
	return one, nil
}

// fill writes zeros to a new file. Where there is no space for all of them it does with less, which is slower.
func (s *slots) fill(create vfs.FS, name string) (size int64, err error) {
	f, err := create.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if f, err = s.base.OpenReadWrite(name, vfs.WriteCategoryUnspecified); err != nil {
		return 0, err
	}
	z, none := newBlocks(f), aligned(zeros)
	for size < s.size {
		n := whole(int(min(s.size-size, zeros)))
		if z.put(none[:n], size) != nil {
			break
		}
		size += int64(n)
	}
	_ = f.Sync() // whoever uses it syncs its head
	if err := f.Close(); err != nil {
		return 0, err
	}
	return size, syncDir(create, s.dir)
}

// syncDir makes sure that the files of a directory are found again.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tidy makes a slot in advance where there is none, and removes those that nobody will use. Only what no head
// names as needed is removed.
func (s *slots) tidy() {
	s.mu.Lock()
	free := 0
	var gone []*slot
	for _, one := range s.all {
		switch {
		case one.needed || one.taken:
		case s.usable(one) && free < mostFree:
			free++
		case one.number < s.current.oldest:
			one.taken = true
			gone = append(gone, one)
		}
	}
	quiet := s.closed || s.broken()
	s.mu.Unlock()
	if quiet {
		return
	}
	for _, one := range gone {
		if s.base.Remove(one.name) == nil {
			s.mu.Lock()
			s.all = slices.DeleteFunc(s.all, func(other *slot) bool { return other == one })
			s.mu.Unlock()
		}
	}
	if free > 0 {
		return
	}
	if one, err := s.make(s.base); err == nil { // else it is made when it is needed
		s.mu.Lock()
		one.taken = false
		s.mu.Unlock()
	}
}

// usable tells whether a slot can be used again. The caller holds mu.
func (s *slots) usable(one *slot) bool {
	return !one.needed && !one.taken && one.size >= s.size && one.size <= 4*s.size
}

// close waits for what is done beside.
func (s *slots) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.working.Wait()
}
