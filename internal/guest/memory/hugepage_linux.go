package memory

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20 // bytes

// CollapseCode moves compiled code into huge pages if the kernel can (Linux 6.1). A turn runs functions all over the
// code, and after the engine, the store and the kernel have worked, few of their addresses are left in the
// processor's TLB. Compiled code is executable memory without a file.
func CollapseCode() {
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
