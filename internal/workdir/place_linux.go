package workdir

import (
	"os"

	"golang.org/x/sys/unix"
)

// placeOf returns the identity of a file or directory.
func placeOf(path string) (place, error) {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_NLINK|unix.STATX_BTIME, &s)
	if err == unix.ENOSYS || err == unix.EPERM { // an old kernel, or a container that forbids statx
		var old unix.Stat_t
		if err = unix.Stat(path, &old); err == nil {
			return place{Inode: old.Ino, links: uint64(old.Nlink)}, nil
		}
	}
	if err != nil {
		return place{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	p := place{Inode: s.Ino, links: uint64(s.Nlink)}
	if s.Mask&unix.STATX_BTIME != 0 {
		p.Born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return p, nil
}
