package site

import (
	"runtime"
	"unsafe"
)

// ReturnTo returns the return address of the function whose first argument is at first, or 0 if it is unknown.
// Functions compiled for WebAssembly get their arguments in memory, right behind the return address. The function must
// not be inlined or have type parameters.
func ReturnTo(first unsafe.Pointer) uintptr {
	if !returnsKnown {
		return 0
	}
	return *(*uintptr)(unsafe.Add(first, -8))
}

// returnsKnown is set if ReturnTo was right when Learn tried it.
var returnsKnown bool

// Learn checks that this compiler puts arguments where [ReturnTo] expects them. Call it once, before the image of the
// module is taken.
func Learn() {
	returnsKnown = true
	returnsKnown = tryReturnTo(1)
}

//go:noinline
func tryReturnTo(argument int) bool {
	var above [1]uintptr
	return runtime.Callers(2, above[:]) == 1 && ReturnTo(unsafe.Pointer(&argument)) == above[0]
}
