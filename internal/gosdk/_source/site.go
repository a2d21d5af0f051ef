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

// sites remembers the call site that a place in the user's code leads to, or "" where it lies deeper.
var sites struct {
	sync.Mutex
	known map[uintptr]string
}

// callSite returns file:line of the innermost caller outside the SDK and net/http, or "". The one
// above skip callers is looked at first; unwinding is what a call site costs.
func callSite(skip int) string { return siteOf(0, skip+1) }

// siteOf is callSite for a function that knows where it returns to, or 0.
func siteOf(pc uintptr, skip int) string {
	if pc == 0 {
		var one [1]uintptr
		if runtime.Callers(skip+2, one[:]) == 0 {
			return ""
		}
		pc = one[0]
	}
	at, known := recall(pc)
	if !known {
		at = findSite([]uintptr{pc})
		remember(pc, at)
	}
	if at == "" {
		var deep [64]uintptr
		at = findSite(deep[:runtime.Callers(skip+2, deep[:])])
	}
	return at
}

func recall(pc uintptr) (at string, known bool) {
	sites.Lock()
	defer sites.Unlock()
	at, known = sites.known[pc]
	return at, known
}

func remember(pc uintptr, at string) {
	sites.Lock()
	defer sites.Unlock()
	if sites.known == nil {
		sites.known = map[uintptr]string{}
	}
	if len(sites.known) < maxSites {
		sites.known[pc] = at
	}
}

func findSite(pcs []uintptr) string {
	frames := runtime.CallersFrames(pcs)
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
