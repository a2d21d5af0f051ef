//go:build !linux

package memory

// NewImage makes a base image of b, which must not be changed afterwards.
func NewImage(b []byte, _ bool) (*Image, error) { return &Image{Bytes: b}, nil }

func newMapped(base *Image, limit uint64) (Linear, error) { return newCopied(base, limit), nil }

// CollapseCode does nothing on this system.
func CollapseCode() {}
