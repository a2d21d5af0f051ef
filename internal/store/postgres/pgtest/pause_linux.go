package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Pause stops all processes of the server with SIGSTOP, so that connections stay open and nothing is answered. The returned
// function lets them go on.
func (s *Server) Pause(t testing.TB) (resume func()) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []int{s.process.cmd.Process.Pid}
	for stopped := 0; stopped < len(all); { // one that is stopped makes no others
		for _, pid := range all[stopped:] {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
			stopped++
		}
		for _, pid := range children(all[0]) {
			if !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
	return func() {
		for _, pid := range all {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended meanwhile
		}
	}
}

// children returns the children of a process.
func children(of int) (all []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, _ := os.ReadFile(file) // nothing, if it has ended
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(of) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, pid)
		}
	}
	return all
}
