package ring

import (
	"os"
	"strings"
)

// bootID returns an id of the time since the machine was started, during which no memory of files is lost; "" if it is not
// known.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return clip(strings.TrimSpace(string(b)), textField)
}
