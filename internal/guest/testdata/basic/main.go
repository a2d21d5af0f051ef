// Basic is a guest on the bare interface, without the SDK.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

//go:wasmimport flawless call
func call(kind unsafe.Pointer, kindLen uint32, head unsafe.Pointer, headLen uint32, body unsafe.Pointer, bodyLen uint32) int32

//go:wasmimport flawless answer
func answer(call, part int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport flawless finish
func finish(ok int32, ptr unsafe.Pointer, n uint32)

//go:wasmimport flawless describe
func describe(ptr unsafe.Pointer, n uint32)

func ptr(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func request(body string) int32 {
	k, kn := ptr("http")
	b, bn := ptr(body)
	return call(k, kn, nil, 0, b, bn)
}

func note(kind, head, body string) {
	k, kn := ptr(kind)
	h, hn := ptr(head)
	b, bn := ptr(body)
	call(k, kn, h, hn, b, bn)
}

func ask(body string) string {
	n := request(body)
	f := os.NewFile(uintptr(1_000_000+n), "call")
	defer f.Close()
	var one [1]byte
	if _, err := f.Read(one[:]); err != nil {
		panic(err)
	}
	size := answer(n, 1, nil, 0)
	b := make([]byte, size)
	answer(n, 1, unsafe.Pointer(unsafe.SliceData(b)), uint32(size))
	return string(b)
}

func end(output string) {
	p, n := ptr(output)
	finish(1, p, n)
}

func input() (workflow, in string) {
	b := make([]byte, answer(0, 0, nil, 0))
	answer(0, 0, unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	c := make([]byte, answer(0, 1, nil, 0))
	answer(0, 1, unsafe.Pointer(unsafe.SliceData(c)), uint32(len(c)))
	return string(b), string(c)
}

type node struct {
	next *node
	data [1 << 16]byte
}

var keep *node

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n-1) + n
}

// storm has goroutines do what comes to them: wait for calls and timers, hand things to each other, read the
// clock, make garbage, have it collected and stop the world.
func storm(seed uint64) {
	var all sync.WaitGroup
	var once sync.Once
	hand := make(chan []byte)
	gate := sync.NewCond(&sync.Mutex{})
	left := 1 + int(seed%8)
	for k := range left {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(k)))
			pause := func() time.Duration { return time.Duration(r.IntN(3)) * time.Millisecond }
			var garbage [][]byte
			var kept *time.Timer // made in one turn, waited for in another
			for n := range 24 {
				switch r.IntN(40) {
				default:
					garbage = append(garbage, []byte(ask(fmt.Sprint(k, " ", n))))
				case 3:
					time.Sleep(pause())
				case 4:
					select {
					case <-time.After(pause()):
					case b := <-hand:
						garbage = append(garbage, b)
					}
				case 5:
					select {
					case hand <- make([]byte, r.IntN(1<<16)):
					default:
						runtime.Gosched()
					}
				case 6:
					timer := time.NewTimer(time.Hour)
					timer.Reset(pause())
					<-timer.C
				case 7:
					time.AfterFunc(pause(), func() { note("log", fmt.Sprint(k, " ", n), "a timer") })
				case 8:
					for range r.IntN(64) {
						garbage = append(garbage, make([]byte, 64<<10))
					}
					garbage = garbage[len(garbage)/2:]
				case 9:
					once.Do(runtime.GC)
					runtime.AddCleanup(new([16]byte), func(int) { note("log", "", "a cleanup") }, 0)
				case 10:
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
				case 11:
					note("log", "", time.Now().String())
				case 13, 14:
					if seed%2 == 0 {
						continue
					}
					if kept == nil {
						kept = time.NewTimer(pause())
						continue
					}
					select { // a timer that nobody waits for any more stays with the scheduler for a while
					case <-kept.C:
						kept = nil
					case b := <-hand:
						garbage = append(garbage, b)
					}
				case 15:
					t := time.NewTicker(time.Millisecond)
					garbage = append(garbage, []byte(ask(fmt.Sprint(k, " ", n))))
					<-t.C
					t.Stop()
				case 12:
					gate.L.Lock()
					if left > 1 {
						left--
						gate.Wait()
						left++
					}
					gate.L.Unlock()
				}
				gate.Broadcast()
			}
			gate.L.Lock()
			left--
			gate.L.Unlock()
			gate.Broadcast()
		})
	}
	all.Wait()
	end("1")
}

func work(in string) {
	var seed uint64
	if n, _ := fmt.Sscanf(in, `"storm %d"`, &seed); n == 1 {
		storm(seed)
		return
	}
	switch in {
	case `"fan"`:
		var wg sync.WaitGroup
		var mu sync.Mutex
		sum := ""
		for k := range 3 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				s := ask(fmt.Sprint("request ", k))
				mu.Lock()
				defer mu.Unlock()
				sum += s + ";"
			}()
		}
		wg.Wait()
		select {
		case <-time.After(50 * time.Millisecond):
			fmt.Println("timed out")
		}
		began := time.Now()
		time.Sleep(48 * time.Hour)
		fmt.Println("slept", time.Since(began).Round(time.Hour))
		note("data", "", `{"sum":1}`)
		end(fmt.Sprintf("%q", sum+ask("last")))
	case `"random"`:
		m := map[int]int{}
		for k := range 20 {
			m[k] = k
		}
		order := ""
		for k := range m {
			order += fmt.Sprint(k, " ")
		}
		end(fmt.Sprintf("%q", fmt.Sprint(rand.IntN(1<<30), rand.IntN(1<<30), order)))
	case `"chain"`:
		for k := range 1000000 {
			ask(fmt.Sprint(k))
		}
	case `"panic"`:
		var p *int
		fmt.Println(*p)
	case `"exit"`:
		os.Exit(3)
	case `"memory"`:
		for {
			keep = &node{next: keep}
		}
	case `"deep"`:
		end(fmt.Sprint(deep(1 << 30)))
	case `"spin"`:
		for {
			runtime.KeepAlive(keep)
		}
	case `"count"`:
		for n := uint64(1); ; n++ {
			counts[n*n%uint64(len(counts))] += n
		}
	case `"floats"`:
		end(fmt.Sprintf("%q", floats()))
	case `"nothing"`:
		<-make(chan int)
	case `"late"`:
		go func() {
			time.Sleep(1)
			request("late")
		}()
		request("early")
		end("1")
		request("after")
	case `"dirty"`:
		b := make([]byte, 256<<10)
		for k := range b {
			b[k] = 0xa5
		}
		runtime.KeepAlive(b)
		end("0")
	case `"empty"`:
		end("null")
	}
}

//go:wasmexport flawless_describe
func flawlessDescribe() {
	describe(ptr(`{"sdk":"test","workflows":[{"name":"w"}]}`))
}

//go:wasmexport flawless_start
func start() {
	_, in := input()
	if in, early = strings.CutPrefix(in, `"early `); early {
		in = `"` + in
	}
	go work(in)
	resume()
}

var (
	idle  *os.File
	early bool // the guest waits for the early descriptor
)

//go:wasmexport flawless_resume
func resume() {
	if idle == nil {
		fd := uintptr(999_999)
		if early {
			fd--
		}
		idle = os.NewFile(fd, "idle")
	}
	var b [1]byte
	if _, err := idle.Read(b[:]); err != nil {
		panic(err)
	}
}

func main() {}
