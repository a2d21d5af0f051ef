package wire

import "math/bits"

// Texts are gone through eight bytes at a time: what a guest computes is several times slower than the
// same outside of one. The ways to find a byte in a word are those of Henry S. Warren, Hacker's Delight,
// section 6-1.

const (
	each    = 0x0101010101010101 // times a byte: that byte in each place
	tops    = 0x80 * each
	quote   = '"' * each
	reverse = '\\' * each
)

// quoteAt returns the place of the first quotation mark of s from i on, or -1 where there is none, or a
// backslash before it. The text has eight bytes at least.
func quoteAt(s string, i int) int {
	for last := len(s) - 8; i < len(s); i += 8 {
		x := word(s, min(i, last))
		if i > last {
			x >>= uint(i-last) * 8 & 63
		}
		q, r := x^quote, x^reverse
		if found := ((q-each)&^q | (r-each)&^r) & tops; found != 0 { // the lowest bit is right: no borrow came so far
			if i += bits.TrailingZeros64(found) / 8; s[i] == '"' {
				return i
			}
			break
		}
	}
	return -1
}

// isPlain tells whether s needs no escaping in JSON and is ASCII.
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

// short returns the bytes of s, of which there are one to seven, some of them more than once.
func short(s string) uint64 {
	if len(s) >= 4 {
		return uint64(half(s, 0)) | uint64(half(s, len(s)-4))<<32
	}
	return uint64(s[0])*each&0xffffffffff | uint64(s[len(s)/2])<<40 | uint64(s[len(s)-1])<<48 | uint64(s[0])<<56
}

// arePlain is isPlain for eight bytes. Borrows reach into the next byte only from one that is not.
func arePlain(x uint64) bool {
	q, r := x^quote, x^reverse
	return (x|(x-' '*each)|(q-each)&^q|(r-each)&^r)&tops == 0
}
