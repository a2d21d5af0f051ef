package guest

import "iter"

// sections yields the sections of a module, which may be damaged: those that are whole.
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

// customSection returns the content of the last custom section of that name, nil where there is none.
func customSection(bin []byte, name string) (found []byte) {
	for id, content := range sections(bin) {
		if n, text := leb(content); id == 0 && n <= uint64(len(text)) && string(text[:n]) == name {
			found = text[n:]
		}
	}
	return found
}

// leb reads an unsigned number, and returns what comes after it.
func leb(b []byte) (n uint64, rest []byte) {
	for k, c := range b {
		if n |= uint64(c&0x7f) << (7 * k); c < 0x80 || k == 4 {
			return n, b[k+1:]
		}
	}
	return 0, nil
}
