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

// machine describes this machine.
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

// ticks are the busy ticks of the processors since boot, and those stolen by other virtual machines.
// https://docs.kernel.org/filesystems/proc.html, section 1.7
type ticks struct{ busy, stolen float64 }

// processors returns the current ticks, or zero if the system does not report them.
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

// stolenSince returns the percentage of ticks that were stolen.
func (t ticks) stolenSince(before ticks) float64 {
	if t.busy <= before.busy {
		return 0
	}
	return 100 * (t.stolen - before.stolen) / (t.busy - before.busy)
}

// resident returns the resident memory of a process in bytes.
func resident(pid int) int64 { return pages(pid, 1) }

// own returns the private memory of a process. The base image of each guest is shared memory.
func own(pid int) int64 { return pages(pid, 1) - pages(pid, 2) }

// pages returns one of the sizes that the system reports for a process, in bytes.
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

// used returns the disk usage of a folder in bytes.
func used(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a file was removed in the meantime
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
