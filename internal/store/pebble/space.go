package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// space monitors the free disk space and maintains a reserve: an allocated file that is removed when a write finds the
// disk full, so that work in progress can be written.
//
//	free space      action
//	------------    ------------------------------------------------------------------------
//	above 2*size    none; the file is created again if it was removed
//	below size      full: no new work; also after the first write that finds the disk full
//	below size/4    if the file was removed, too, Apply returns flawless.Full
type space struct {
	files vfs.FS
	dir   string
	path  string
	size  int64 // 0 is no reserve and no monitoring
	log   *slog.Logger

	why  atomic.Pointer[string] // why the disk counts as full, or nil
	last atomic.Int64           // free bytes at the last measurement

	mu   sync.Mutex // held while the file is created or removed, or the disk is declared not full
	kept bool

	stop chan struct{}
	done sync.WaitGroup
}

const lookEvery = time.Second

func (s *space) open(files vfs.FS, dir string, size int64, log *slog.Logger) {
	s.files, s.dir, s.path, s.size, s.log = files, dir, files.PathJoin(dir, "reserve"), max(size, 0), log
	s.stop = make(chan struct{})
	if s.size == 0 {
		return
	}
	s.mu.Lock()
	err := s.keep()
	s.mu.Unlock()
	if err != nil {
		s.mark(fmt.Sprintf("cannot reserve %d MiB in %s: %v: free some space", s.size>>20, dir, err))
	}
	s.look()
	s.done.Go(s.watch)
}

func (s *space) close() error {
	close(s.stop)
	s.done.Wait()
	return nil
}

func (s *space) full() (bool, string) {
	if why := s.why.Load(); why != nil {
		return true, *why
	}
	return false, ""
}

// room returns [flawless.Full] if there is not even space for work in progress.
func (s *space) room() error {
	why := s.why.Load()
	if why == nil {
		return nil
	}
	if s.look(); s.last.Load() < s.size/4 && !s.holds() {
		return fmt.Errorf("%s: %w", *why, flawless.Full)
	}
	return nil
}

func (s *space) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func (s *space) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look()
		case <-s.stop:
			return
		}
	}
}

// look measures the free space and acts accordingly.
func (s *space) look() {
	u, err := s.files.GetDiskUsage(s.dir)
	if err != nil {
		s.last.Store(s.size) // unknown: wait for a write to fail
		return
	}
	free := int64(min(u.AvailBytes, 1<<62))
	s.last.Store(free)
	if free < s.size {
		s.mark(fmt.Sprintf("only %d MiB are free in %s, but %d MiB are needed: free some space", free>>20, s.dir, s.size>>20))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if full, _ := s.full(); full && (free >= 2*s.size || s.kept) && s.keep() == nil {
		s.why.Store(nil)
		s.log.Info("disk space available again, accepting new work", "dir", s.dir)
	}
}

func (s *space) mark(why string) {
	if s.why.Swap(&why) == nil {
		s.log.Error("disk full, not accepting new work", "reason", why)
	}
}

// spent is called when a write finds the disk full. Afterwards the write is retried.
func (s *space) spent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(fmt.Sprintf("the disk with %s is full: free some space", s.dir))
	if !s.kept {
		return
	}
	s.kept = false
	if err := s.files.Remove(s.path); err != nil {
		s.log.Error("releasing reserved disk space failed", "path", s.path, "error", err)
	}
}

// keep creates the reserve file unless it exists. The caller holds mu.
func (s *space) keep() error {
	if fi, err := s.files.Stat(s.path); err == nil && fi.Size() == s.size {
		s.kept = true
		return nil
	}
	if err := s.files.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.files.OpenReadWrite(s.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = errors.Join(s.allocate(f), f.Close()); err != nil {
		return errors.Join(err, s.files.Remove(s.path))
	}
	s.kept = true
	return nil
}

const zeros = 1 << 20 // bytes written at a time

// allocate allocates the space of the file: by preallocation if that is reliable, otherwise by writing zeros.
func (s *space) allocate(f vfs.File) error {
	if runtime.GOOS == "linux" && f.Preallocate(0, s.size) == nil {
		_, err := f.WriteAt([]byte{0}, s.size-1)
		return errors.Join(err, f.Sync())
	}
	block := make([]byte, zeros)
	for left := s.size; left > 0; left -= zeros {
		if _, err := f.Write(block[:min(left, zeros)]); err != nil {
			return err
		}
	}
	return f.Sync()
}
