// Basic is a guest on the bare interface, without the SDK.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
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

func work(in string) {
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
	go work(in)
	resume()
}

var idle *os.File

//go:wasmexport flawless_resume
func resume() {
	if idle == nil {
		idle = os.NewFile(999_999, "idle")
	}
	var b [1]byte
	if _, err := idle.Read(b[:]); err != nil {
		panic(err)
	}
}

func main() {}
