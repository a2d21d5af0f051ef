package flawless

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
)

const packagePath = "github.com/flawless-engine/flawless/sdk/go"

// maxSites bounds what is remembered of call sites; more are found anew each time.
const maxSites = 1024

// stackKey is the top of a stack, which always leads to the same call site.
type stackKey [12]uintptr

var sites struct {
	sync.Mutex
	known map[stackKey]string
}

// callSite returns file:line of the innermost caller outside the SDK and net/http, or "".
func callSite() string {
	var key stackKey
	runtime.Callers(2, key[:])
	sites.Lock()
	defer sites.Unlock()
	if at, ok := sites.known[key]; ok {
		return at
	}
	at := findSite()
	if sites.known == nil {
		sites.known = map[stackKey]string{}
	}
	if len(sites.known) < maxSites {
		sites.known[key] = at
	}
	return at
}

func findSite() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if f.Function != "" && !between(f.Function) {
			return place(f.File, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// between tells whether a function lies between the user's code and the engine.
func between(function string) bool {
	return ours(function) || strings.HasPrefix(function, "net/http.")
}

// ours tells whether a function belongs to the SDK.
func ours(function string) bool {
	rest, ok := strings.CutPrefix(function, packagePath)
	return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/nethttp."))
}

// place returns the last two elements of a file's path, and the line.
func place(file string, line int) string {
	if i := strings.LastIndexByte(file, '/'); i > 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return file + ":" + strconv.Itoa(line)
}
