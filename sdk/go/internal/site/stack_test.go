package site

import "testing"

const stacks = `goroutine 8 [running]:
runtime.Stack({0x1, 0x2, 0x3}, 0x1)
	/go/src/runtime/mprof.go:1 +0x5
github.com/flawless-engine/flawless/sdk/go.blocked()
	/src/sdk/go/guest_wasip1.go:40 +0x2

goroutine 5 [sync.WaitGroup.Wait, 5 minutes]:
sync.runtime_SemacquireWaitGroup(0x1)
	/go/src/runtime/sema.go:114 +0x2
sync.(*WaitGroup).Wait(0x1)
	/go/src/sync/waitgroup.go:206 +0x9
main.crawl({0x1, 0x2}, {{0x3, 0x4}, 0x5})
	/home/me/crawl/main.go:54 +0x33
github.com/flawless-engine/flawless/sdk/go.(*workflow).carryOut(0x1, {0x1, 0x2})
	/src/sdk/go/workflow.go:160 +0x9
created by github.com/flawless-engine/flawless/sdk/go.prepare in goroutine 4
	/src/sdk/go/guest_wasip1.go:30 +0x2

goroutine 9 [chan receive]:
github.com/flawless-engine/flawless/sdk/go/internal/turn.park({0x1, 0x2}, 0x3)
	/src/sdk/go/internal/turn/wait_wasip1.go:50 +0x5
github.com/flawless-engine/flawless/sdk/go/internal/turn.WaitNew({0x1, 0x2}, 0x3)
	/src/sdk/go/internal/turn/wait_wasip1.go:41 +0x5
github.com/flawless-engine/flawless/sdk/go.httpExchange({0x1, 0x2})
	/src/sdk/go/exchange.go:70 +0x2
main.(*site).fetch(0x1, {0x2, 0x3})
	/home/me/crawl/main.go:67 +0x33
main.crawl.func1()
	/home/me/crawl/main.go:50 +0x3
created by main.crawl in goroutine 5
	/home/me/crawl/main.go:49 +0x2

goroutine 10 [chan receive]:
github.com/flawless-engine/flawless/sdk/go/internal/turn.park({0x1, 0x2}, 0x4)
	/src/sdk/go/internal/turn/wait_wasip1.go:50 +0x5
github.com/flawless-engine/flawless/sdk/go/internal/turn.WaitNew({0x1, 0x2}, 0x3)
	/src/sdk/go/internal/turn/wait_wasip1.go:41 +0x5
github.com/flawless-engine/flawless/sdk/go.httpExchange({0x1, 0x2})
	/src/sdk/go/exchange.go:70 +0x2
main.(*site).fetch(0x2, {0x2, 0x3})
	/home/me/crawl/main.go:67 +0x33
main.crawl.func1()
	/home/me/crawl/main.go:50 +0x3
created by main.crawl in goroutine 5
	/home/me/crawl/main.go:49 +0x2

goroutine 12 [coroutine]:
runtime.coroswitch(0x1)
	/go/src/runtime/coro.go:136 +0x5
iter.Pull[...].func2(...)
	/go/src/iter/iter.go:325 +0x5
github.com/flawless-engine/flawless/sdk/go/internal/turn.Rest(...)
	/src/sdk/go/internal/turn/turn_wasip1.go:80 +0x5
github.com/flawless-engine/flawless/sdk/go/internal/turn.(*Receiver).Wait(0x1, {0x2, 0x3})
	/src/sdk/go/internal/turn/wait_wasip1.go:110 +0x5
github.com/flawless-engine/flawless/sdk/go.receive[...]({0x1, 0x2}, {0x3, 0x4})
	/src/sdk/go/message.go:220 +0x2
main.listen()
	/home/me/crawl/main.go:80 +0x2
created by github.com/flawless-engine/flawless/sdk/go/internal/turn.Prepare in goroutine 4
	/src/sdk/go/internal/turn/turn_wasip1.go:40 +0x2

goroutine 11 [select]:
net.(*fakeNetFD).accept(0x1, {0x2, 0x3})
	/go/src/net/net_fake.go:328 +0x5
net.(*TCPListener).Accept(0x1)
	/go/src/net/tcpsock.go:387 +0x5
main.serve()
	/home/me/crawl/main.go:70 +0x2
`

func TestBlockedCondensesStacks(t *testing.T) {
	t.Parallel()
	const want = `goroutine: sync.WaitGroup.Wait
    main.crawl  crawl/main.go:54
2 goroutines, each: waits for the answer of a call
    main.(*site).fetch  crawl/main.go:67
    main.crawl.func1  crawl/main.go:50
    started by main.crawl  crawl/main.go:49
goroutine: waits for the answer of a call
    main.listen  crawl/main.go:80
goroutine: waits for a connection or a packet, and none can come: a run has no sockets. To be called from outside, wait for a message or a promise
    net.(*fakeNetFD).accept  net/net_fake.go:328
    net.(*TCPListener).Accept  net/tcpsock.go:387
    main.serve  crawl/main.go:70`
	if got := Blocked(stacks); got != want {
		t.Errorf("got\n%s", got)
	}
	for _, broken := range []string{"", "\n\n", "goroutine", "goroutine 1 [x]:\nmain.f", "goroutine 1 [x]:\n(\n:", "[\n\n["} {
		_ = Blocked(broken) // must not panic
	}
}
