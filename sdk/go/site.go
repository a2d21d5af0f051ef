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

// stackKey is the top of a stack. It is short because unwinding is what a call site costs.
type stackKey [5]uintptr

// sites remembers the call site that the top of a stack leads to, or "" where it lies deeper.
var sites struct {
	sync.Mutex
	known map[stackKey]string
}

// callSite returns file:line of the innermost caller outside the SDK and net/http, or "".
func callSite() string {
	var key stackKey
	n := runtime.Callers(2, key[:])
	sites.Lock()
	at, ok := sites.known[key]
	sites.Unlock()
	if !ok {
		at = findSite(key[:n])
		remember(key, at)
	}
	if at == "" && n == len(key) {
		var deep [64]uintptr
		at = findSite(deep[:runtime.Callers(2, deep[:])])
	}
	return at
}

func remember(key stackKey, at string) {
	sites.Lock()
	defer sites.Unlock()
	if sites.known == nil {
		sites.known = map[stackKey]string{}
	}
	if len(sites.known) < maxSites {
		sites.known[key] = at
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
