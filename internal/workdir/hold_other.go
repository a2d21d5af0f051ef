//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package workdir

import "os"

// hold does nothing: this system has no locks of files.
func hold(*os.File) (sure bool, err error) { return false, nil }
