package rewrite

import (
	"strconv"
	"strings"
)

const (
	typeI32       byte = 0x7f
	typeI64       byte = 0x7e
	typeF32       byte = 0x7d
	typeF64       byte = 0x7c
	typeV128      byte = 0x7b
	typeFuncref   byte = 0x70
	typeExternref byte = 0x6f
	typeAny       byte = 0 // on the stack after an unreachable instruction
)

const (
	externFunc byte = iota
	externTable
	externMemory
	externGlobal
	externTag
)

const (
	reserved  = "flawless:" // prefix of added exports
	startName = reserved + "start"

	// WholeName is an exported function of type () -> i64. It returns Result.Whole, and traps in a hollow module.
	WholeName = reserved + "whole"
)

func globalName(i uint32) string { return reserved + "g" + strconv.FormatUint(uint64(i), 10) }

// module is the input while it is rewritten.
type module struct {
	options Options
	read    reader

	types    []funcType
	imports  []imported
	funcs    []uint32 // the types of all functions, imported ones first
	tables   []table
	memory   limits
	memories int
	globals  []global
	exports  []export
	start    int // -1 if there is none
	segments int // data segments in the input

	dataCount int64 // data segments that are announced, -1 if none are
	elems     []elem
	bodies    reader
	data      []Segment
	names     []byte // the name section, already adjusted

	declared   []bool     // functions that ref.func may name
	added      []byte     // encoded types that are appended
	addedTypes []string   // their results, to find them
	raw        [14][]byte // items of sections that are copied unchanged
}

type funcType struct{ params, results []byte }

type imported struct {
	module, name string
}

type table struct {
	elem byte
	limits
}

type limits struct {
	min, max uint32
	bounded  bool
}

type global struct {
	typ     byte
	mutable bool
	init    expr
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// expr is a constant expression: its bytes without the end, or a function for ref.func.
type expr struct {
	typ    byte
	bytes  []byte
	isFunc bool
	fn     uint32
}

// hook returns the index of flawless.quantum, the first after the module's own imports.
func (m *module) hook() uint32 { return uint32(len(m.imports)) }

// shift returns the index of a function in the result.
func (m *module) shift(fn uint32) uint32 {
	if fn >= m.hook() {
		fn++
	}
	return fn
}

func (m *module) units() uint32 { return uint32(len(m.globals)) }
func (m *module) depth() uint32 { return uint32(len(m.globals)) + 1 }
func (m *module) site() uint32  { return uint32(len(m.globals)) + 2 }

// String returns the type as "(i32,i32)->(i32)".
func (t funcType) String() string {
	return "(" + typeNames(t.params) + ")->(" + typeNames(t.results) + ")"
}

func typeNames(types []byte) string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = typeName(t)
	}
	return strings.Join(out, ",")
}

func typeName(t byte) string {
	switch t {
	case typeI32:
		return "i32"
	case typeI64:
		return "i64"
	case typeF32:
		return "f32"
	case typeF64:
		return "f64"
	case typeV128:
		return "v128"
	case typeFuncref:
		return "funcref"
	case typeExternref:
		return "externref"
	}
	return "any"
}
