package site

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// PanicStack returns the stack of a panic, innermost frame first, without frames of the runtime and the SDK. Call it
// in the deferred function that recovered.
func PanicStack() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if f.Function != "" && !isSDK(f.Function) && !strings.HasPrefix(f.Function, "runtime.") {
			fmt.Fprintf(&b, "%s\n    %s\n", f.Function, Line(f.File, f.Line))
		}
		if !more {
			return strings.TrimSuffix(b.String(), "\n")
		}
	}
}

// Blocked condenses the output of runtime.Stack for all goroutines: it omits goroutines without user code and frames
// of the runtime and the SDK, and merges goroutines that are blocked at the same line.
func Blocked(stacks string) string {
	var order []string
	count := map[string]int{}
	for g := range strings.SplitSeq(strings.TrimSpace(stacks), "\n\n") {
		text := blockedGoroutine(g)
		if text == "" {
			continue
		}
		if count[text]++; count[text] == 1 {
			order = append(order, text)
		}
	}
	var b strings.Builder
	for _, text := range order {
		if n := count[text]; n > 1 {
			fmt.Fprintf(&b, "%d goroutines, each: %s", n, text)
		} else {
			b.WriteString("goroutine: " + text)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// blockedGoroutine returns why and where one goroutine is blocked, or "" if it runs no user code.
func blockedGoroutine(text string) string {
	lines := strings.Split(text, "\n")
	_, state, ok := strings.Cut(lines[0], "[")
	if !ok {
		return ""
	}
	state, _, _ = strings.Cut(state, "]")
	state, _, _ = strings.Cut(state, ",")
	var b strings.Builder
	for i := 1; i+1 < len(lines); i += 2 {
		function, created := strings.CutPrefix(lines[i], "created by ")
		if created {
			function, _, _ = strings.Cut(function, " in goroutine")
		} else if at := strings.LastIndexByte(function, '('); at > 0 {
			function = function[:at]
		}
		if slices.Contains(ownLoops, function) {
			return ""
		}
		if slices.Contains(callWaits, function) {
			state = "waits for the answer of a call"
		}
		if strings.HasPrefix(function, "net.(*fakeNetFD).") || strings.HasPrefix(function, "net.(*packetQueue).") {
			state = "waits for a connection or a packet, and none can come: a run has no sockets. To be called from outside, wait for a message or a promise"
		}
		if isBeneath(function) || created && b.Len() == 0 {
			continue
		}
		if created {
			function = "started by " + function
		}
		fmt.Fprintf(&b, "    %s  %s\n", function, frameSite(lines[i+1]))
	}
	if b.Len() == 0 {
		return ""
	}
	return state + "\n" + b.String()
}

// ownLoops are functions whose goroutines belong to the SDK.
var ownLoops = []string{sdkPath + ".blocked"}

// callWaits are the functions in which goroutines wait for calls of all kinds.
var callWaits = []string{sdkPath + "/internal/turn.Wait", sdkPath + "/internal/turn.WaitNew", sdkPath + "/internal/turn.Take", sdkPath + "/internal/turn.(*Receiver).Wait"}

// isBeneath reports whether a function is below the user's code on the stack of a blocked goroutine.
func isBeneath(function string) bool {
	if isBetween(function) {
		return true
	}
	for _, p := range []string{"runtime.", "runtime/", "internal/", "os.", "sync.", "time.", "context.", "iter."} {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}

// frameSite parses the second line of a frame: a tab, path:line, and an offset.
func frameSite(line string) string {
	path, _, _ := strings.Cut(strings.TrimSpace(line), " +0x")
	i := strings.LastIndexByte(path, ':')
	if i < 0 {
		return path
	}
	n, err := strconv.Atoi(path[i+1:])
	if err != nil {
		return path
	}
	return Line(path[:i], n)
}
