package residency

import (
	"bytes"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// resident returns how many bytes of memory the process has for itself alone, 0 if the system does not tell.
// Pages of files are left out. Those of a base image belong to a file too: the system counts them once for
// each guest that maps them, although they exist once.
// https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 3 {
		return 0
	}
	all, _ := strconv.ParseInt(fields[1], 10, 64)
	shared, _ := strconv.ParseInt(fields[2], 10, 64)
	return (all - shared) * int64(os.Getpagesize())
}

// available returns how many bytes of memory the process may take: those of the machine, or fewer if it is in a
// control group with a limit; 0 if the system does not tell. Root is "/" except in tests.
func available(root string) int64 {
	limit := int64(math.MaxInt64)
	lower := func(n int64, err error) {
		if err == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	b, _ := os.ReadFile(path.Join(root, "proc/meminfo"))
	for line := range bytes.Lines(b) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "MemTotal:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			lower(n<<10, err)
		}
	}
	// https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
	b, _ = os.ReadFile(path.Join(root, "proc/self/cgroup"))
	for line := range bytes.Lines(b) {
		f := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(f) < 3 {
			continue
		}
		dir, file := "sys/fs/cgroup", "memory.max"
		if f[1] != "" {
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if f[1] != "" && f[1] != "memory" {
			continue
		}
		// Every group above may have a limit. In a container the path may be the host's, of which only the top exists.
		for group := path.Clean("/" + f[2]); ; group = path.Dir(group) {
			b, err := os.ReadFile(path.Join(root, dir, group, file))
			if err == nil {
				lower(strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)) // "max" is none
			}
			if group == "/" {
				break
			}
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// mappable returns how many guests the system lets the process map. Each takes up to four mappings, and the rest
// of the process some hundred.
// https://docs.kernel.org/admin-guide/sysctl/vm.html#max-map-count
func mappable(root string) int {
	const each, others = 4, 4096
	b, _ := os.ReadFile(path.Join(root, "proc/sys/vm/max_map_count"))
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return math.MaxInt
	}
	return max((n-others)/each, 256)
}
