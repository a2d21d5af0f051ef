//go:build unix && !linux

package workdir

import (
	"os"
	"syscall"
)

// placeOf returns the identity of a file or directory.
func placeOf(path string) (place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return place{}, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return place{Inode: uint64(s.Ino), links: uint64(s.Nlink)}, nil
	}
	return place{}, nil
}
