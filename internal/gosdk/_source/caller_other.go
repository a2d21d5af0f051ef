//go:build !wasip1

package flawless

import "unsafe"

func caller(unsafe.Pointer) uintptr { return 0 }
