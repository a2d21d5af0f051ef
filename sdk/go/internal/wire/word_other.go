//go:build !wasip1

package wire

import "encoding/binary"

func word(s string, i int) uint64 {
	return binary.LittleEndian.Uint64([]byte(s[i : i+8]))
}

func half(s string, i int) uint32 { return binary.LittleEndian.Uint32([]byte(s[i : i+4])) }
