package flawless

import (
	"runtime"
	"unsafe"
)

// caller returns where a function returns to, from the place of its first argument, or 0 where that cannot
// be told: functions compiled for WebAssembly are handed their arguments in memory, behind that address.
// The function must not be inlined, nor have type parameters.
func caller(first unsafe.Pointer) uintptr {
	if !callersKnown {
		return 0
	}
	return *(*uintptr)(unsafe.Add(first, -8))
}

// callersKnown is set when caller was right where it was tried.
var callersKnown bool

// learnCallers tries whether arguments lie where caller looks for them.
func learnCallers() {
	callersKnown = true
	callersKnown = tryCaller(1)
}

//go:noinline
func tryCaller(argument int) bool {
	var above [1]uintptr
	return runtime.Callers(2, above[:]) == 1 && caller(unsafe.Pointer(&argument)) == above[0]
}
