//go:build unix && !linux

package workdir

import (
	"os"
	"syscall"
)

// fileIDOf returns the identity of a file or directory.
func fileIDOf(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{Inode: uint64(s.Ino), links: uint64(s.Nlink)}, nil
	}
	return fileID{}, nil
}
