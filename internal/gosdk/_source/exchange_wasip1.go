package flawless

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"unsafe"
)

// guest tells whether this is built as one.
const guest = true

// callsFD is the file descriptor of the guest interface for call 0; call n is callsFD + n.
const callsFD = 1_000_000

const (
	headPart = 0
	bodyPart = 1
)

// The functions of the guest interface, version 1. None of them keeps a pointer.

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

// note makes a call that has no answer.
func note(kind string, head, body []byte) { hostCall(kind, view(head), view(body)) }

// makeCall makes a call and returns its number.
func makeCall(kind string, head, body []byte) (int, error) {
	if current.Load() == nil {
		return 0, ErrOutside
	}
	if err := checkBody(kind, "", body); err != nil {
		return 0, err
	}
	n := hostCall(kind, view(head), view(body))
	if n < 0 {
		select {} // the workflow has returned: its goroutines go no further
	}
	return int(n), nil
}

// exchange makes a call that the engine carries out within itself, and waits for its answer, whose head it
// leaves in h. It returns the number of the call, once it was made. Where ctx has ended, no call is made;
// one that was made is waited for whatever becomes of ctx: it takes a moment, and code that was told of
// ctx's end instead would make it again.
func exchange(ctx context.Context, kind string, head, body []byte, h *answerHead) (int, []byte, error) {
	if current.Load() == nil {
		return 0, nil, ErrOutside
	}
	if ctx.Err() != nil {
		return 0, nil, context.Cause(ctx)
	}
	n, err := makeCall(kind, head, body)
	if err != nil {
		return 0, nil, err
	}
	answer, err := await(n, h)
	return n, answer, err
}

// httpExchange makes an http call and waits for its answer. When ctx ends first, it withdraws the call and
// waits for what the engine says of it: the cause of ctx where the call never begins or may be abandoned,
// and its outcome otherwise. With settle a call that is under way always has its outcome waited for.
func httpExchange(ctx context.Context, head, body []byte, settle bool, h *answerHead) (int, []byte, error) {
	if current.Load() == nil {
		return 0, nil, ErrOutside
	}
	n, err := makeCall("http", head, body)
	if err != nil {
		return 0, nil, err
	}
	if park(ctx, int32(n)) || answered(int32(n)) {
		answer, err := take(n, h)
		return n, answer, err
	}
	note("withdraw", withdrawHead(n, ctx.Err(), settle), nil)
	answer, err := await(n, h)
	if err == nil && h.failure != nil && h.failure.kind == "withdrawn" {
		return n, nil, context.Cause(ctx)
	}
	return n, answer, err
}

// arrives waits until the answer of a call is there, or ctx ends, and tells whether it is there. It is
// not forgotten: the caller takes it, or waits again.
func arrives(ctx context.Context, n int) bool {
	return answered(int32(n)) || park(ctx, int32(n)) || answered(int32(n))
}

// answered tells whether the answer of a call is there.
func answered(n int32) bool { return hostAnswer(n, headPart, nil, 0) >= 0 }

// await waits until the answer of a call is there. The engine forgets it afterwards.
func await(call int, h *answerHead) ([]byte, error) {
	for n := int32(call); !park(context.Background(), n) && !answered(n); {
	}
	return take(call, h)
}

// take returns an answer that is there, its head in h, and has the engine forget it.
func take(call int, h *answerHead) ([]byte, error) {
	n := int32(call)
	var room [1024]byte
	head := readPart(n, headPart, room[:])
	body := readPart(n, bodyPart, room[min(len(head), len(room)):])
	forget(n)
	var text string
	var kept []byte
	if len(head)+len(body) <= len(room) { // one object is cheaper than two
		both := append(append(make([]byte, 0, len(head)+len(body)), head...), body...)
		text, kept = view(both[:len(head)]), both[len(head):]
	} else {
		text, kept = string(head), bytes.Clone(body)
	}
	if err := parseAnswer(text, h); err != nil {
		return nil, fmt.Errorf("flawless: the engine's answer to call %d cannot be read: %w", n, err)
	}
	return kept, nil
}

// abandon has the engine forget the answer of a call, whether it is there or still comes.
func abandon(call int) { forget(int32(call)) }

// forget tells the engine that nobody will ask for the answer of a call any more.
func forget(n int32) { _ = syscall.Close(callsFD + int(n)) }

// readHead reads the head of an answer that is there.
func readHead(n int32) (h answerHead, err error) {
	var room [512]byte
	err = parseAnswer(string(readPart(n, headPart, room[:])), &h)
	return h, err
}

// readPart copies one part of an answer that is there, into room if it fits.
func readPart(n, part int32, room []byte) []byte {
	size := hostAnswer(n, part, unsafe.Pointer(unsafe.SliceData(room)), uint32(len(room)))
	if size <= int32(len(room)) {
		return room[:max(0, size)]
	}
	b := make([]byte, size)
	hostAnswer(n, part, unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	return b
}
