package wire

import "math/bits"

// These functions process eight bytes at a time, because code in a guest is several times slower than native code. The
// methods to find a byte in a word are from Henry S. Warren, Hacker's Delight, section 6-1.

const (
	each    = 0x0101010101010101 // times a byte: that byte in each position
	tops    = 0x80 * each
	quote   = '"' * each
	reverse = '\\' * each
)

// quoteAt returns the index of the first quotation mark in s at or after i, or -1 if there is none or a backslash comes
// first. s must have at least eight bytes.
func quoteAt(s string, i int) int {
	for last := len(s) - 8; i < len(s); i += 8 {
		x := word(s, min(i, last))
		if i > last {
			x >>= uint(i-last) * 8 & 63
		}
		q, r := x^quote, x^reverse
		if found := ((q-each)&^q | (r-each)&^r) & tops; found != 0 { // the lowest bit is correct: no borrow can reach it
			if i += bits.TrailingZeros64(found) / 8; s[i] == '"' {
				return i
			}
			break
		}
	}
	return -1
}

// isPlain reports whether s is ASCII and needs no escaping in JSON.
func isPlain(s string) bool {
	if len(s) < 8 {
		return s == "" || arePlain(short(s))
	}
	for i := 0; i < len(s)-8; i += 8 {
		if !arePlain(word(s, i)) {
			return false
		}
	}
	return arePlain(word(s, len(s)-8))
}

// short returns a word with the one to seven bytes of s, some of them more than once.
func short(s string) uint64 {
	if len(s) >= 4 {
		return uint64(half(s, 0)) | uint64(half(s, len(s)-4))<<32
	}
	return uint64(s[0])*each&0xffffffffff | uint64(s[len(s)/2])<<40 | uint64(s[len(s)-1])<<48 | uint64(s[0])<<56
}

// arePlain is isPlain for eight bytes. A borrow reaches the next byte only from one that is not plain.
func arePlain(x uint64) bool {
	q, r := x^quote, x^reverse
	return (x|(x-' '*each)|(q-each)&^q|(r-each)&^r)&tops == 0
}
