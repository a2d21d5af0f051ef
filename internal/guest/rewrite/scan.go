package rewrite

import "iter"

// CustomSection returns the content of the last custom section of that name, nil if there is none. The
// module may be damaged: sections are read up to the first one that is cut off.
func CustomSection(bin []byte, name string) (content []byte) {
	for id, section := range sections(bin) {
		if n, text := leb(section); id == sectionCustom && n <= uint64(len(text)) && string(text[:n]) == name {
			content = text[n:]
		}
	}
	return content
}

// WithoutCustomSection returns a module without its custom sections of that name. The result may share memory with
// bin. What follows a section that is cut off stays as it is.
func WithoutCustomSection(bin []byte, name string) []byte {
	out, kept := bin[:min(8, len(bin)):min(8, len(bin))], len(bin) // kept is where the rest begins
	removed := false
	at := len(out)
	for id, section := range sections(bin) {
		end := len(bin) - remaining(bin, at)
		n, text := leb(section)
		if id == sectionCustom && n <= uint64(len(text)) && string(text[:n]) == name {
			removed = true
		} else {
			out = append(out, bin[at:end]...)
		}
		at, kept = end, end
	}
	if !removed {
		return bin
	}
	return append(out, bin[kept:]...)
}

// remaining returns the number of bytes behind the section that begins at an offset.
func remaining(bin []byte, at int) int {
	size, rest := leb(bin[at+1:])
	return len(rest) - int(size)
}

// FunctionOffsets returns where each function of a module begins in the content of its code section. DWARF
// counts addresses from there. It is nil if the section is damaged.
func FunctionOffsets(bin []byte) (offsets []uint64) {
	var code []byte
	for id, section := range sections(bin) {
		if id == sectionCode {
			code = section
		}
	}
	n, rest := leb(code)
	for range n {
		size, body := leb(rest)
		if size > uint64(len(body)) || len(body) == 0 {
			return nil
		}
		offsets = append(offsets, uint64(len(code)-len(body)))
		rest = body[size:]
	}
	return offsets
}

// sections yields the id and content of each section that is complete.
func sections(bin []byte) iter.Seq2[byte, []byte] {
	return func(yield func(id byte, content []byte) bool) {
		for b := bin[min(8, len(bin)):]; len(b) > 1; {
			size, rest := leb(b[1:])
			if size > uint64(len(rest)) || !yield(b[0], rest[:size]) {
				return
			}
			b = rest[size:]
		}
	}
}

// leb reads an unsigned LEB128 number, and returns it with the bytes that follow.
func leb(b []byte) (n uint64, rest []byte) {
	for k, c := range b {
		if n |= uint64(c&0x7f) << (7 * k); c < 0x80 || k == 4 {
			return n, b[k+1:]
		}
	}
	return 0, nil
}
