package residency

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// machine returns a directory that looks like the root of a system with these files.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAvailableMemory(t *testing.T) {
	t.Parallel()
	const meminfo, gib = "MemTotal:        8388608 kB\nMemFree:         1 kB\n", int64(1 << 30)
	for name, row := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"a system that does not tell": {nil, 0},
		"a machine":                   {map[string]string{"proc/meminfo": meminfo}, 8 * gib},
		"version 2":                   {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n"}, gib},
		"version 2, no limit":         {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 8 * gib},
		"version 2, a group above": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max": "2147483648\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 2 * gib},
		"version 2, in a container": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, gib / 2},
		"version 1": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3221225472\n"}, 3 * gib},
		"version 1, no limit": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/a\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 8 * gib},
		"version 1, the path is the host's": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, gib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := available(machine(t, row.files)); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

func TestMappableGuests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"65530\n": 15358, "1048576\n": 261120, "100\n": 256, "nonsense": math.MaxInt} {
		if got := mappable(machine(t, map[string]string{"proc/sys/vm/max_map_count": text})); got != want {
			t.Errorf("for %q got %d, want %d", text, got, want)
		}
	}
}
