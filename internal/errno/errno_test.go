package errno

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestErrorsMeanTheSameOnEverySystem(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		kind   kind
		number syscall.Errno
		system string
		want   bool
	}{
		"a full disk":                         {full, syscall.ENOSPC, "linux", true},
		"a quota that is used up":             {full, syscall.EDQUOT, "linux", true},
		"a full disk on Windows":              {full, 112, "windows", true},
		"the number of Windows on Linux":      {full, 112, "linux", false},
		"another error on Windows":            {full, 5, "windows", false},
		"a port in use on Windows":            {inUse, 10048, "windows", true},
		"a locked file on Windows":            {locked, 32, "windows", true},
		"a write-protected medium on Windows": {readOnly, 19, "windows", true},
		"a read-only file system":             {readOnly, syscall.EROFS, "darwin", true},
	} {
		err := fmt.Errorf("writing: %w", &os.PathError{Op: "write", Path: "x", Err: row.number})
		if got := row.kind.is(err, row.system); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Full(nil) || Full(io.EOF) || Locked(io.EOF) || ReadOnly(io.EOF) {
		t.Error("what is no error of the system has a meaning")
	}
}

func TestAPortInUseIsRecognised(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := net.Listen("tcp", l.Addr().String()); !AddressInUse(err) {
		t.Errorf("%v is not seen as a port in use", err)
	}
}
