package guest

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Errors of WASI preview 1.
const (
	ok     = 0
	eagain = 6
	ebadf  = 8
	efault = 21
	einval = 28
	enosys = 52
)

const (
	earlyFD = 999_998 // idle, too, for guests that poll with a time-out of zero when nothing else is left to do
	idleFD  = 999_999
	firstFD = 1_000_000 // of call 0
)

// wasi is WASI preview 1 without access to the machine: clocks and randomness belong to the run, standard output
// becomes log lines, and there are no files and no sockets.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
var wasi = []function{
	{"args_get", "ii", "i", args},
	{"args_sizes_get", "ii", "i", argsSizes},
	{"clock_res_get", "ii", "i", clockRes},
	{"clock_time_get", "iIi", "i", clockTime},
	{"environ_get", "ii", "i", nothing},
	{"environ_sizes_get", "ii", "i", noSizes},
	{"fd_advise", "iIIi", "i", noFile},
	{"fd_allocate", "iII", "i", noFile},
	{"fd_close", "i", "i", fdClose},
	{"fd_datasync", "i", "i", noFile},
	{"fd_fdstat_get", "ii", "i", fdstat},
	{"fd_fdstat_set_flags", "ii", "i", fdSetFlags},
	{"fd_fdstat_set_rights", "iII", "i", noFile},
	{"fd_filestat_get", "ii", "i", filestat},
	{"fd_filestat_set_size", "iI", "i", noFile},
	{"fd_filestat_set_times", "iIIi", "i", noFile},
	{"fd_pread", "iiiIi", "i", noFile},
	{"fd_prestat_dir_name", "iii", "i", noFile},
	{"fd_prestat_get", "ii", "i", noFile},
	{"fd_pwrite", "iiiIi", "i", noFile},
	{"fd_read", "iiii", "i", fdRead},
	{"fd_readdir", "iiiIi", "i", noFile},
	{"fd_renumber", "ii", "i", noFile},
	{"fd_seek", "iIii", "i", noFile},
	{"fd_sync", "i", "i", noFile},
	{"fd_tell", "ii", "i", noFile},
	{"fd_write", "iiii", "i", fdWrite},
	{"path_create_directory", "iii", "i", noFile},
	{"path_filestat_get", "iiiii", "i", noFile},
	{"path_filestat_set_times", "iiiiIIi", "i", noFile},
	{"path_link", "iiiiiii", "i", noFile},
	{"path_open", "iiiiiIIii", "i", noFile},
	{"path_readlink", "iiiiii", "i", noFile},
	{"path_remove_directory", "iii", "i", noFile},
	{"path_rename", "iiiiii", "i", noFile},
	{"path_symlink", "iiiii", "i", noFile},
	{"path_unlink_file", "iii", "i", noFile},
	{"poll_oneoff", "iiii", "i", poll},
	{"proc_exit", "i", "", exit},
	{"proc_raise", "i", "i", func(*Instance, []uint64) uint32 { return enosys }},
	{"random_get", "ii", "i", random},
	{"sched_yield", "", "i", nothing},
	{"sock_accept", "iii", "i", noFile},
	{"sock_recv", "iiiiii", "i", noFile},
	{"sock_send", "iiiii", "i", noFile},
	{"sock_shutdown", "ii", "i", noFile},
}

func nothing(*Instance, []uint64) uint32 { return ok }
func noFile(*Instance, []uint64) uint32  { return ebadf }

// put writes to guest memory. It returns efault outside of it.
func (i *Instance) put(ptr uint64, b []byte) uint32 {
	to, inside := i.view(ptr, uint64(len(b)))
	if !inside {
		return efault
	}
	copy(to, b)
	return ok
}

func (i *Instance) put32(ptr uint64, v uint32) uint32 {
	if ptr > math.MaxUint32 || !i.mod.Memory().WriteUint32Le(uint32(ptr), v) {
		return efault
	}
	return ok
}

func (i *Instance) put64(ptr uint64, v uint64) uint32 {
	if ptr > math.MaxUint32 || !i.mod.Memory().WriteUint64Le(uint32(ptr), v) {
		return efault
	}
	return ok
}

// vector returns buffer k of a vector of buffers.
func (i *Instance) vector(ptr, k uint64) (b []byte, inside bool) {
	at, inside := i.view(ptr+8*k, 8)
	if !inside {
		return nil, false
	}
	return i.view(uint64(binary.LittleEndian.Uint32(at)), uint64(binary.LittleEndian.Uint32(at[4:])))
}

func noSizes(i *Instance, s []uint64) uint32 {
	if e := i.put32(s[0], 0); e != ok {
		return e
	}
	return i.put32(s[1], 0)
}

// programName is the only argument of a guest. Libraries read os.Args[0] while they are initialised. Only a guest
// with the export flawless_args gets it: the runs of older guests must see what they have always seen.
const programName = "workflow"

func (i *Instance) hasArgs() bool { return i.m.rewritten.Exports["flawless_args"] != "" }

func argsSizes(i *Instance, s []uint64) uint32 {
	if !i.hasArgs() {
		return noSizes(i, s)
	}
	if e := i.put32(s[0], 1); e != ok {
		return e
	}
	return i.put32(s[1], uint32(len(programName)+1))
}

func args(i *Instance, s []uint64) uint32 {
	if !i.hasArgs() {
		return ok
	}
	if e := i.put32(s[0], uint32(s[1])); e != ok {
		return e
	}
	return i.put(s[1], []byte(programName+"\x00"))
}

// clockRes returns the resolution of clocks, one nanosecond.
func clockRes(i *Instance, s []uint64) uint32 {
	if uint32(s[0]) > 3 {
		return einval
	}
	return i.put64(s[1], 1)
}

// clockTime returns the time of a clock: 0 is real time, the others are monotonic. Both are constant within a turn.
func clockTime(i *Instance, s []uint64) uint32 {
	if i.timerless > mayHaveTimers {
		i.timerless--
	}
	switch uint32(s[0]) {
	case 0:
		return i.put64(s[2], uint64(i.now))
	case 1, 2, 3:
		return i.put64(s[2], uint64(i.monotonic()))
	}
	return einval
}

func (i *Instance) monotonic() int64 { return i.now - i.origin + 1e9 }

func random(i *Instance, s []uint64) uint32 {
	b, inside := i.view(s[0], s[1])
	if !inside {
		return efault
	}
	_, _ = i.random.Read(b) // cannot fail
	return ok
}

func isIdle(fd uint32) bool { return fd == idleFD || fd == earlyFD }

// known reports whether fd is a descriptor, and whether it is one of the engine: idle or a call.
func (i *Instance) known(fd uint32) (known, ours bool) {
	switch {
	case fd <= 2:
		return true, false
	case isIdle(fd):
		return true, true
	case fd > firstFD && fd-firstFD <= uint32(i.made):
		return true, true
	}
	return false, false
}

// fdstat writes 24 bytes: the type (1 at 0), flags (2 at 2) and rights (8 at 8).
func fdstat(i *Instance, s []uint64) uint32 {
	known, ours := i.known(uint32(s[0]))
	if !known {
		return ebadf
	}
	b := make([]byte, 24)
	b[0] = 2 // character device
	if ours {
		b[0] = 6 // stream socket
		b[2] = 4 // non-blocking
	}
	binary.LittleEndian.PutUint64(b[8:], 1<<1|1<<6|1<<27) // read, write, poll
	return i.put(s[1], b)
}

func fdSetFlags(i *Instance, s []uint64) uint32 {
	if known, _ := i.known(uint32(s[0])); !known {
		return ebadf
	}
	return ok
}

// filestat writes 64 bytes: the type (1 at 16).
func filestat(i *Instance, s []uint64) uint32 {
	known, ours := i.known(uint32(s[0]))
	if !known {
		return ebadf
	}
	b := make([]byte, 64)
	b[16] = 2
	if ours {
		b[16] = 6
	}
	return i.put(s[1], b)
}

// fdClose forgets the answer of a call, or ignores it when it comes.
func fdClose(i *Instance, s []uint64) uint32 {
	known, ours := i.known(uint32(s[0]))
	if !known {
		return ebadf
	}
	if n := int(s[0]) - firstFD; ours && n > 0 {
		if _, there := i.visible[n]; !there {
			i.ignore(n)
		}
		delete(i.visible, n)
	}
	return ok
}

// ignore ignores the answer of a call when it comes.
func (i *Instance) ignore(call int) {
	if i.unwanted == nil {
		i.unwanted = map[int]bool{}
	}
	i.unwanted[call] = true
}

// fdRead returns one byte from the descriptor of a call that was answered, and from idle when the turn is over.
func fdRead(i *Instance, s []uint64) uint32 {
	fd := uint32(s[0])
	known, ours := i.known(fd)
	switch {
	case !known || fd == 1 || fd == 2:
		return ebadf
	case !ours:
		return i.put32(s[3], 0) // standard input is empty
	case s[2] > maxVector:
		return einval
	case isIdle(fd) && !i.over:
		return eagain
	case !isIdle(fd):
		if _, there := i.visible[int(fd-firstFD)]; !there {
			return eagain
		}
	}
	for k := range s[2] {
		b, inside := i.vector(s[1], k)
		if !inside {
			return efault
		}
		if len(b) > 0 {
			b[0] = 1
			if isIdle(fd) {
				i.over = false
			}
			return i.put32(s[3], 1)
		}
	}
	return einval
}

// fdWrite writes to standard output or error, which become log lines.
func fdWrite(i *Instance, s []uint64) uint32 {
	fd := uint32(s[0])
	if fd != 1 && fd != 2 {
		return ebadf
	}
	if s[2] > maxVector {
		return einval
	}
	total := uint32(0)
	for k := range s[2] {
		b, inside := i.vector(s[1], k)
		if !inside {
			return efault
		}
		i.print(int(fd-1), b)
		total += uint32(len(b))
	}
	return i.put32(s[3], total)
}

var printLevels = [2]string{"stdout", "stderr"}

const (
	maxLine   = 64 << 10
	maxVector = 1024 // buffers of one read or write
)

// print splits printed text into lines, and lines longer than maxLine into several.
func (i *Instance) print(stream int, b []byte) {
	i.weigh(len(b))
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n')
		if n != 0 && len(i.partial[stream]) == maxLine {
			i.item(0, 1)
			i.logLine(i.endLine(stream))
		}
		end := n >= 0
		if !end {
			n = len(b)
		}
		if room := maxLine - len(i.partial[stream]); n > room {
			n, end = room, false
		}
		i.partial[stream] = append(i.partial[stream], b[:n]...)
		b = b[n:]
		if end {
			b = b[1:]
			i.item(0, 1)
			i.logLine(i.endLine(stream))
		}
	}
}

// endLine returns the text that was printed since the last line as a line.
func (i *Instance) endLine(stream int) flawless.Line {
	text := strings.ToValidUTF8(string(i.partial[stream]), "\uFFFD")
	i.partial[stream] = i.partial[stream][:0]
	return flawless.Line{Level: printLevels[stream], Text: text}
}

// endLines ends lines that were printed without a newline. The guest has stopped by then, so no limit applies.
func (i *Instance) endLines() {
	for k := range i.partial {
		if len(i.partial[k]) > 0 {
			i.out.Lines = append(i.out.Lines, i.endLine(k))
		}
	}
}

// exited ends a guest that exits.
type exited struct{ code uint32 }

func (*exited) Error() string { return "the guest exited" }

func exit(_ *Instance, s []uint64) uint32 { panic(&exited{uint32(s[0])}) }
