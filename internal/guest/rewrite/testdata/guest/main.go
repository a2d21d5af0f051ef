// Guest computes, for comparing a module with what it is rewritten to.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
)

//go:wasmexport fib
func fib(n int32) int64 {
	return int64(fibonacci(int(n)))
}

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

// sha hashes kib KiB and returns the first bytes of the sum.
//
//go:wasmexport sha
func sha(kib int32) int64 {
	h := sha256.New()
	block := make([]byte, 1024)
	for i := range kib {
		block[0] = byte(i)
		h.Write(block)
	}
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)))
}

type order struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Items []float64         `json:"items"`
	Tags  map[string]string `json:"tags"`
}

// coded encodes and decodes n times and returns the bytes that made.
//
//go:wasmexport json
func coded(n int32) int64 {
	total := 0
	o := order{Name: strings.Repeat("näme", 8), Items: []float64{1.5, 2.25, 1e9}, Tags: map[string]string{"a": "b", "c": "d"}}
	for i := range n {
		o.ID = int(i)
		b, err := json.Marshal(o)
		if err != nil {
			return -1
		}
		total += len(b)
		var back order
		if json.Unmarshal(b, &back) != nil || back.ID != o.ID {
			return -2
		}
	}
	return int64(total)
}

// floats adds up a series, with a division in each step.
//
//go:wasmexport floats
func floats(n int32) float64 {
	sum, x := 0.0, 1.0
	for i := range n {
		x = math.Sqrt(x*x+float64(i)) / 1.5
		sum += x*0.5 - 1/(x+1)
	}
	return sum
}

// nan returns the bits of 0/0.
//
//go:wasmexport nan
func nan(zero float64) int64 {
	return int64(math.Float64bits(zero / zero))
}

func main() {}
