package rewrite

// Functions that append WebAssembly's encodings.

func putU(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func putS(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func putName(b []byte, s string) []byte { return append(putU(b, uint64(len(s))), s...) }

// putSection appends a section if it is not empty.
func putSection(b []byte, id byte, payload []byte) []byte {
	if len(payload) == 0 {
		return b
	}
	b = putU(append(b, id), uint64(len(payload)))
	return append(b, payload...)
}

// putList appends a section with a list of n items, which are already encoded.
func putList(b []byte, id byte, n int, items ...[]byte) []byte {
	if n == 0 {
		return b
	}
	payload := putU(nil, uint64(n))
	for _, it := range items {
		payload = append(payload, it...)
	}
	return putSection(b, id, payload)
}
