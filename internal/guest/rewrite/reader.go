package rewrite

import (
	"fmt"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// reader reads the binary format. It remembers the first error and returns zeros from then on, so callers check err
// once per loop instead of once per byte.
type reader struct {
	bytes    []byte
	pos, end int
	where    string // what is being read, for errors
	err      error
}

// fail records the first error. Its text says what is wrong and what to do.
func (r *reader) fail(code flawless.Code, format string, args ...any) {
	if r.err != nil {
		return
	}
	where := r.where
	if where == "" {
		where = "module"
	}
	r.err = fmt.Errorf("reading the %s at byte %d: %s: %w", where, r.pos, fmt.Sprintf(format, args...), code)
	r.pos = r.end
}

func (r *reader) refuse(format string, args ...any) { r.fail(flawless.Refused, format, args...) }

// damaged records that the module has bytes that no compiler writes.
func (r *reader) damaged(format string, args ...any) {
	r.fail(flawless.Invalid, "%s: the module is damaged or not valid, build it again", fmt.Sprintf(format, args...))
}

// more reports whether there are bytes left to read.
func (r *reader) more() bool { return r.err == nil && r.pos < r.end }

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.damaged("it ends too early")
		return 0
	}
	b := r.bytes[r.pos]
	r.pos++
	return b
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > r.end-r.pos {
		r.damaged("it ends too early, %d more bytes are announced", n)
		return nil
	}
	b := r.bytes[r.pos : r.pos+n]
	r.pos += n
	return b
}

func (r *reader) u32() uint32 {
	if r.pos < r.end && r.bytes[r.pos] < 0x80 {
		r.pos++
		return uint32(r.bytes[r.pos-1])
	}
	var v uint64
	for shift := uint(0); shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 1<<32-1 {
				r.damaged("a number does not fit 32 bits")
				return 0
			}
			return uint32(v)
		}
	}
	r.damaged("a number has too many bytes")
	return 0
}

func (r *reader) s32() int32 { return int32(r.signed(32)) }
func (r *reader) s33() int64 { return r.signed(33) }
func (r *reader) s64() int64 { return r.signed(64) }

// signed reads a signed number with this many bits. The unused bits of the last byte must repeat the sign.
func (r *reader) signed(bits uint) int64 {
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if left := bits - shift; left < 7 {
			if top := int8(b<<1) >> left; top != 0 && top != -1 {
				r.damaged("a number does not fit %d bits", bits)
				return 0
			}
		}
		if shift+7 < 64 {
			v = v << (57 - shift) >> (57 - shift)
		}
		return v
	}
	r.damaged("a number has too many bytes")
	return 0
}

// count reads the length of a list whose items have min bytes or more.
func (r *reader) count(min int) int {
	n := r.u32()
	if int64(n)*int64(min) > int64(r.end-r.pos) {
		r.damaged("a list of %d items is announced, there are bytes for %d at most", n, (r.end-r.pos)/min)
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	b := r.take(int(r.u32()))
	if !utf8.Valid(b) {
		r.damaged("a name is not UTF-8")
		return ""
	}
	return string(b)
}

// part returns a reader for the next n bytes and skips them.
func (r *reader) part(n int, where string) reader {
	start := r.pos
	r.take(n)
	return reader{bytes: r.bytes, pos: start, end: r.pos, where: where, err: r.err}
}

// done ends a part. It fails if a part was not read to its end.
func (r *reader) done() error {
	if r.err == nil && r.pos != r.end {
		r.damaged("%d bytes are left over", r.end-r.pos)
	}
	return r.err
}
