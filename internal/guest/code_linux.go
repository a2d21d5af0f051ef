package guest

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// hugePage is the size of those that code is put into.
const hugePage = 2 << 20

// gatherCode puts compiled code into huge pages, where the kernel can (Linux 6.1): a turn goes through
// functions all over it, and finds few of their addresses in the processor's table of pages after the
// engine, the store and the kernel have worked. Code is what lies in executable memory without a file.
func gatherCode() {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) != 5 || fields[1] != "r-xp" {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
			continue
		}
		from = (from + hugePage - 1) &^ (hugePage - 1)
		if to &^= hugePage - 1; from < to {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_COLLAPSE)
		}
	}
}
