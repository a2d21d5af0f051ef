//go:build unix

package ring

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapped is a file that is mapped into memory. What is written there survives the process at once.
type mapped struct{ b []byte }

// mapFile maps a file, and closes it.
func mapFile(f *os.File, size int) (memory, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return &mapped{b}, nil
}

func (m *mapped) bytes() []byte    { return m.b }
func (m *mapped) changed(int, int) {}
func (m *mapped) sync() error      { return unix.Msync(m.b, unix.MS_SYNC) }
func (m *mapped) close() error     { return unix.Munmap(m.b) }

// inode returns the number of a file, which a copy does not have.
func inode(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Ino)
	}
	return 0
}
