package main

import (
	"fmt"
	"hash/fnv"
	"math"
)

var counts [4096]uint64

// floats computes with what processors differ in: what a NaN looks like that comes out of an
// operation, of conversions, and of those that are no numbers.
func floats() string {
	zero, inf := 0.0, math.Inf(1)
	odd := math.Float64frombits(0xfff4_0000_0000_1234)
	values := []float64{zero, -zero, 1, -1.5, inf, -inf, odd, math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e10, -1e-10}
	h := fnv.New64a()
	put := func(f float64) { fmt.Fprintf(h, "%x ", math.Float64bits(f)) }
	for _, a := range values {
		for _, b := range values {
			for _, f := range []float64{a + b, a - b, a * b, a / b, math.Sqrt(a) + b, math.Min(a, b), math.Max(a, b), math.Floor(a) - b,
				math.Mod(a, b), math.Pow(a, b), math.FMA(a, b, a), float64(float32(a) * float32(b)), float64(float32(a) - float32(b)), math.Sin(a) * b} {
				put(f)
			}
		}
		fmt.Fprintf(h, "%x ", math.Float32bits(float32(a)/float32(zero)))
	}
	return fmt.Sprintf("%x", h.Sum64())
}
