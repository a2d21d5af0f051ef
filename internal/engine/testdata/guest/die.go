package main

import "context"

type link struct {
	next *link
	data [1 << 16]byte
}

var chained *link

// hog takes all the memory there is.
func hog(context.Context, any) (any, error) {
	for {
		chained = &link{next: chained}
	}
}

// sink calls itself until the stack is too deep.
func sink(_ context.Context, n int) (int, error) { return deeper(n), nil }

func deeper(n int) int {
	if n == 0 {
		return 0
	}
	return deeper(n-1) + n
}
