package flawless

import "unsafe"

// caller returns where a function returns to, from the place of its first argument: functions compiled
// for WebAssembly are handed their arguments in memory, behind that address. It must not be inlined, nor
// have type parameters. What it returns is only looked up among addresses that runtime.Callers has found.
func caller(first unsafe.Pointer) uintptr { return *(*uintptr)(unsafe.Add(first, -8)) }
