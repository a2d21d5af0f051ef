package rewrite

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// value is a parameter or a result in a script. Numbers are their bits in decimal, results may be nan:canonical or
// nan:arithmetic.
type value struct {
	Type  string
	Lane  string `json:"lane_type"`
	Value json.RawMessage
}

func (a action) args() (out []uint64) {
	for _, v := range a.Args {
		out = append(out, v.bits()...)
	}
	return out
}

// texts returns the numbers of a value, one for each lane.
func (v value) texts() (out []string) {
	var one string
	if json.Unmarshal(v.Value, &one) == nil {
		return []string{one}
	}
	_ = json.Unmarshal(v.Value, &out)
	return out
}

// bits returns a value as wazero takes it.
func (v value) bits() []uint64 {
	if v.Type != "v128" {
		return []uint64{v.number(v.texts()[0])}
	}
	var b []byte
	for _, text := range v.texts() {
		n, _ := strconv.ParseUint(text, 10, 64)
		b = append(b, binary.LittleEndian.AppendUint64(nil, n)[:width(v.Lane)]...)
	}
	return []uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (v value) number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	if (v.Type == "externref" || v.Type == "funcref") && text != "null" {
		n++ // 0 is the null
	}
	return n
}

func width(typ string) int {
	switch typ {
	case "i8":
		return 1
	case "i16":
		return 2
	case "i32", "f32":
		return 4
	}
	return 8
}

// fit reports whether results are as expected.
func fit(got []uint64, want []value) bool {
	for _, v := range want {
		typ, n := v.Type, 1
		if typ == "v128" {
			typ, n = v.Lane, 2
		}
		if len(got) < n {
			return false
		}
		var b []byte
		for _, g := range got[:n] {
			b = binary.LittleEndian.AppendUint64(b, g)
		}
		got = got[n:]
		for _, text := range v.texts() {
			size := width(typ)
			if !fits(b[:size], typ, text, v) {
				return false
			}
			b = b[size:]
		}
	}
	return len(got) == 0
}

// fits compares one number. A NaN must be canonical except for its sign, which neg and copysign may set.
func fits(b []byte, typ, text string, v value) bool {
	var n uint64
	for k := range b {
		n |= uint64(b[k]) << (8 * k)
	}
	switch {
	case text != "nan:canonical" && text != "nan:arithmetic":
		return n == v.number(text)&(1<<(8*len(b)-1)<<1-1)
	case typ == "f32":
		return n&^(1<<31) == 0x7fc0_0000
	}
	return n&^(1<<63) == 0x7ff8_0000_0000_0000
}
