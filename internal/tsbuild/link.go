package tsbuild

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// payload is what the build puts into the engine.
type payload struct {
	prelude, code []byte
	places        []place
	sources       []byte // JSON
}

const (
	pageSize = 1 << 16

	// room is what the initial memory grows by, in steps, for the payload. The memory's size is part of what is compiled,
	// so bundles of about the same size share compiled code. Pages that nothing writes to take no memory.
	room = 4 << 20
)

// link appends data segments to an engine: the payload, on pages behind its initial memory, and the words at the exported
// global flawless_bundle that say where it is (see sdk/ts/engine/guest.c). The code section stays as it is, so all
// modules with the same engine share its compiled code.
func link(engine []byte, p payload) ([]byte, error) {
	sections, err := split(engine)
	if err != nil {
		return nil, err
	}
	bundle, pages, err := locate(sections)
	if err != nil {
		return nil, err
	}
	base := pages * pageSize
	var content []byte
	var words [32]byte
	put := func(word int, b []byte, count int) {
		binary.LittleEndian.PutUint32(words[8*word:], base+uint32(len(content)))
		binary.LittleEndian.PutUint32(words[8*word+4:], uint32(count))
		content = append(append(content, b...), 0)
		for len(content)%4 != 0 {
			content = append(content, 0)
		}
	}
	places := make([]byte, 0, 16*len(p.places))
	for _, q := range p.places {
		for _, v := range []uint32{q.line, q.column, q.source, q.at} {
			places = binary.LittleEndian.AppendUint32(places, v)
		}
	}
	put(0, p.prelude, len(p.prelude))
	put(1, p.code, len(p.code))
	put(2, places, len(p.places))
	put(3, p.sources, len(p.sources))

	out := append([]byte(nil), engine[:8]...)
	for _, s := range sections {
		r := reader{b: s.body}
		switch s.id {
		case sectionMemory:
			s.body = binary.AppendUvarint([]byte{1, 0}, uint64(pages)+uint64(len(content)+room-1)/room*(room/pageSize))
		case sectionDataCount:
			s.body = binary.AppendUvarint(nil, uint64(r.u32())+2)
		case sectionData:
			body := binary.AppendUvarint(nil, uint64(r.u32())+2)
			body = append(body, s.body[r.at:]...)
			s.body = segment(segment(body, bundle, words[:]), base, content)
		}
		out = append(binary.AppendUvarint(append(out, s.id), uint64(len(s.body))), s.body...)
	}
	return out, nil
}

// Sections of a WebAssembly module (WebAssembly Core Specification, 5.5).
const (
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionData      = 11
	sectionDataCount = 12
)

type section struct {
	id   byte
	body []byte
}

// locate returns the address of flawless_bundle and the number of pages of the initial memory.
func locate(sections []section) (bundle, pages uint32, err error) {
	var globals []int32
	var data bool
	for _, s := range sections {
		r := reader{b: s.body}
		switch s.id {
		case sectionMemory:
			r.u32()
			if r.u32() != 0 {
				return 0, 0, errors.New("the memory of the engine has a maximum")
			}
			pages = r.u32()
		case sectionGlobal:
			for range r.u32() {
				r.take(2)
				if b := r.take(1); len(b) == 0 || b[0] != 0x41 { // i32.const
					return 0, 0, errors.New("a global of the engine is not an i32 constant")
				}
				globals = append(globals, r.s32())
				r.take(1)
			}
		case sectionExport:
			for range r.u32() {
				name := string(r.take(int(r.u32())))
				kind := r.take(1)
				if n := r.u32(); name == "flawless_bundle" && len(kind) == 1 && kind[0] == 3 && int(n) < len(globals) {
					bundle = uint32(globals[n])
				}
			}
		case sectionData:
			data = true
		}
		if r.bad {
			return 0, 0, fmt.Errorf("section %d of the engine is cut off", s.id)
		}
	}
	if bundle == 0 || pages == 0 || !data {
		return 0, 0, errors.New("this is not a JavaScript engine for modules")
	}
	return bundle, pages, nil
}

func split(b []byte) (out []section, err error) {
	if len(b) < 8 || string(b[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("this is not a WebAssembly module")
	}
	for r := (reader{b: b, at: 8}); r.at < len(b); {
		id := r.take(1)[0]
		body := r.take(int(r.u32()))
		if r.bad {
			return nil, fmt.Errorf("section %d is cut off", id)
		}
		out = append(out, section{id, body})
	}
	return out, nil
}

// segment appends an active data segment.
func segment(b []byte, at uint32, content []byte) []byte {
	b = appendSigned(append(b, 0, 0x41), int32(at))
	return append(binary.AppendUvarint(append(b, 0x0b), uint64(len(content))), content...)
}

func appendSigned(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// reader reads numbers and bytes. What is missing reads as zero, and sets bad.
type reader struct {
	b   []byte
	at  int
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.bad, r.at = true, len(r.b)
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) u32() uint32 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || v > 1<<32-1 {
		r.bad, r.at = true, len(r.b)
		return 0
	}
	r.at += n
	return uint32(v)
}

func (r *reader) s32() (v int32) {
	for shift := 0; shift < 35; shift += 7 {
		b := r.take(1)
		if b == nil {
			return 0
		}
		v |= int32(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if b[0]&0x40 != 0 && shift < 25 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	r.bad = true
	return 0
}
