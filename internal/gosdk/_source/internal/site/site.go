// Package site finds the lines of the user's code: the call site that goes along with each call, the stack of a panic,
// and where each goroutine of a blocked run waits.
//
// The user's code is everything outside the SDK, its internal packages included, and outside net/http. A new package
// that calls the engine on behalf of user code must be one that isSDK knows, or its own lines are reported.
package site

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
)

const sdkPath = "github.com/flawless-engine/flawless/sdk/go"

// maxSites bounds the cache of call sites; sites beyond it are looked up each time.
const maxSites = 1024

// sites caches the call site for a program counter of the SDK's caller, or "" if that is not user code itself and the
// stack must be walked further.
var sites struct {
	sync.Mutex
	known map[uintptr]string
}

// Caller returns file:line of the innermost frame of user code, or "". It skips the given number of callers of the
// function that calls it.
func Caller(skip int) string { return At(0, skip+1) }

// At is [Caller] for a function that knows its return address pc from [ReturnTo], which saves unwinding the stack;
// 0 means unknown.
func At(pc uintptr, skip int) string {
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
		if f.Function != "" && !isBetween(f.Function) {
			return Line(f.File, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// isBetween reports whether a function is between the user's code and the engine.
func isBetween(function string) bool {
	return isSDK(function) || strings.HasPrefix(function, "net/http.")
}

// isSDK reports whether a function belongs to the SDK.
func isSDK(function string) bool {
	rest, ok := strings.CutPrefix(function, sdkPath)
	return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "/nethttp.") || strings.HasPrefix(rest, "/internal/"))
}

// Line returns the last two elements of a file's path, and the line: "shop/order.go:17".
func Line(file string, line int) string {
	if i := strings.LastIndexByte(file, '/'); i > 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return file + ":" + strconv.Itoa(line)
}
