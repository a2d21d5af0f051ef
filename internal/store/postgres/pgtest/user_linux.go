package pgtest

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// other returns the unprivileged user of a server, or nil if this process is not privileged: PostgreSQL refuses to run
// as root.
func other() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if errors.Join(err1, err2) == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

// unprivileged returns the attributes of a process of the server. bound ends it with the thread that starts it.
func unprivileged(bound bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Credential: other()}
	if bound {
		a.Pdeathsig = Immediate
	}
	return a
}

// own gives a file to the user of the server.
func own(path string) error {
	if u := other(); u != nil {
		return os.Chown(path, int(u.Uid), int(u.Gid))
	}
	return nil
}
