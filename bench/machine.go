package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machine describes where this runs.
func machine() string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, Linux %s", cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), kernel())
}

func cpu() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, is := strings.CutPrefix(line, "model name"); is {
			return strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(name), ":"))
		}
	}
	return "unknown CPU"
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

// ticks are those in which the processors had something to do since the system came up, and those of them
// that a host gave to other machines. https://docs.kernel.org/filesystems/proc.html, section 1.7
type ticks struct{ busy, stolen float64 }

// processors returns the ticks so far, none where the system does not tell.
func processors() (t ticks) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	for k, text := range strings.Fields(line) {
		n, _ := strconv.ParseFloat(text, 64)
		switch k {
		case 1, 2, 3, 6, 7: // user, nice, system, irq, softirq
			t.busy += n
		case 8:
			t.busy += n
			t.stolen = n
		}
	}
	return t
}

// stolenSince is how many of a hundred ticks were given to other machines.
func (t ticks) stolenSince(before ticks) float64 {
	if t.busy <= before.busy {
		return 0
	}
	return 100 * (t.stolen - before.stolen) / (t.busy - before.busy)
}

// resident is the memory of a process in bytes.
func resident(pid int) int64 { return pages(pid, 1) }

// own is what of it belongs to the process alone. A base image is part of the rest, once for each guest.
func own(pid int) int64 { return pages(pid, 1) - pages(pid, 2) }

// pages is one of the sizes that the system tells of a process, in bytes.
// https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
func pages(pid, field int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) <= field {
		return 0
	}
	n, _ := strconv.ParseInt(f[field], 10, 64)
	return n * int64(os.Getpagesize())
}

// used is what the files in a folder take on the disk, in bytes.
func used(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file that was removed meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			n += s.Blocks * 512
		}
		return nil
	})
	return n
}
