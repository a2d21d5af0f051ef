package replay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// TestTasksAreRead reads what the SDKs write; their own tests have the same lines.
func TestTasksAreRead(t *testing.T) {
	t.Parallel()
	const text = `goroutine: sync.WaitGroup.Wait
    main.crawl  crawl/main.go:54
2 goroutines, each: waits for the answer of a call
    main.(*site).fetch  crawl/main.go:67
    main.crawl.func1  crawl/main.go:50
    started by main.crawl  crawl/main.go:49
call 3: http at src/lib.rs:7
call 4: its future was dropped, and it has no outcome
7 lines
    of nothing`
	at := func(function, file string, line int) flawless.StackFrame {
		return flawless.StackFrame{Func: function, Site: flawless.Site{File: file, Line: line}}
	}
	creator := at("main.crawl", "crawl/main.go", 49)
	want := []flawless.Task{
		{State: "sync.WaitGroup.Wait", Count: 1, Frames: []flawless.StackFrame{at("main.crawl", "crawl/main.go", 54)}},
		{State: "waits for the answer of a call", Count: 2, Frames: []flawless.StackFrame{at("main.(*site).fetch", "crawl/main.go", 67), at("main.crawl.func1", "crawl/main.go", 50)}, Started: &creator},
		{State: "http", Count: 1, Call: 3, Frames: []flawless.StackFrame{at("", "src/lib.rs", 7)}},
		{State: "its future was dropped, and it has no outcome", Count: 1, Call: 4, Frames: []flawless.StackFrame{}},
		{State: "7 lines", Count: 1, Frames: []flawless.StackFrame{{Func: "of nothing"}}},
	}
	if d := cmp.Diff(want, tasks(text)); d != "" {
		t.Error(d)
	}
	if n := len(tasks(strings.Repeat("x\n", 2*maxTasks))); n != maxTasks {
		t.Errorf("%d tasks are listed", n)
	}
	for _, hostile := range []string{"", "\n\n", "    x", " goroutines, each: ", "-1 goroutines, each: x", "call : ", "call -1: x", " at ", " at x:0", " at :1"} {
		for _, task := range tasks(hostile) {
			if task.Count != 1 || task.Call != 0 {
				t.Errorf("%q is %+v", hostile, task)
			}
		}
	}
}
