package abi

import (
	"bytes"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Guest reports whether this program is a guest of an engine.
const Guest = true

const (
	headPart = 0
	bodyPart = 1
)

// The functions of the guest interface. None of them keeps a pointer.

//go:wasmimport flawless call
//go:noescape
func hostCall(kind, head, body string) int32

//go:wasmimport flawless answer
//go:noescape
func hostAnswer(call, part int32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport flawless finish
//go:noescape
func hostFinish(ok int32, text string)

//go:wasmimport flawless rest
//go:noescape
func hostRest() int32

//go:wasmimport flawless describe
//go:noescape
func hostDescribe(text string)

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Call makes a call and returns its number: 0 if it is a note, which has no answer, and -1 once the run has finished.
func Call(kind string, head, body []byte) int { return int(hostCall(kind, view(head), view(body))) }

// Describe hands the engine the manifest, or the text that flawless_blocked was called for.
func Describe(text string) { hostDescribe(text) }

// Finish tells the engine how the run ended: with its output if ok, otherwise with its failure, both as JSON.
func Finish(ok bool, text []byte) {
	n := int32(0)
	if ok {
		n = 1
	}
	hostFinish(n, view(text))
}

// Rest reports whether the turn may end without a poll: the run has no timer.
func Rest() bool { return hostRest() != 0 }

// Answered reports whether the answer of a call is there.
func Answered(call int) bool { return hostAnswer(int32(call), headPart, nil, 0) >= 0 }

// Take returns the body of an answer that is there, puts its head into h, and forgets the answer.
func Take(call int, h *wire.Head) ([]byte, error) {
	var room [1024]byte
	head := read(call, headPart, room[:])
	body := read(call, bodyPart, room[min(len(head), len(room)):])
	Forget(call)
	var text string
	var kept []byte
	if len(head)+len(body) <= len(room) { // one object is cheaper than two
		both := append(append(make([]byte, 0, len(head)+len(body)), head...), body...)
		text, kept = view(both[:len(head)]), both[len(head):]
	} else {
		text, kept = string(head), bytes.Clone(body)
	}
	if err := wire.Parse(text, h); err != nil {
		return nil, fmt.Errorf("flawless: cannot read the engine's answer to call %d: %w", call, err)
	}
	return kept, nil
}

// Head returns the head of an answer that is there, and keeps the answer.
func Head(call int) (h wire.Head, err error) {
	var room [512]byte
	err = wire.Parse(string(read(call, headPart, room[:])), &h)
	return h, err
}

// Body returns the body of an answer that is there, and keeps the answer.
func Body(call int) []byte { return read(call, bodyPart, nil) }

// Forget drops the answer of a call, whether it is there or still to come.
func Forget(call int) { _ = syscall.Close(CallsFD + call) }

// read copies one part of an answer that is there, into room if it fits.
func read(call int, part int32, room []byte) []byte {
	n := int32(call)
	size := hostAnswer(n, part, unsafe.Pointer(unsafe.SliceData(room)), uint32(len(room)))
	if size <= int32(len(room)) {
		return room[:max(0, size)]
	}
	b := make([]byte, size)
	hostAnswer(n, part, unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	return b
}
