package guest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// A ChaCha8 generator of the Go runtime (internal/chacha8rand) is 32 words of output, the 32 bytes of seed that
// produce them, and three counters: words used, words available, and the position in the seed's stream (in steps of 4
// up to 16).
const (
	generatorSeed  = 32 * 8
	generatorUsed  = generatorSeed + 32
	generatorThere = generatorUsed + 4
	generatorStep  = generatorUsed + 8
	generatorSize  = generatorStep + 4
)

// generators returns the addresses of the Go runtime's random generators in an image. It computes the output of each
// candidate to be sure.
func generators(image []byte) (at []uint32) {
	for a := 0; a+generatorSize <= len(image); a += 8 {
		there := binary.LittleEndian.Uint32(image[a+generatorThere:])
		step := binary.LittleEndian.Uint32(image[a+generatorStep:])
		if there == 0 || there > 32 || step > 16 || step%4 != 0 || binary.LittleEndian.Uint64(image[a:]) == 0 {
			continue
		}
		if isGenerator(image[a:], step) {
			at = append(at, uint32(a))
		}
	}
	return at
}

func isGenerator(g []byte, step uint32) bool {
	var seed [32]byte
	copy(seed[:], g[generatorSeed:])
	r := rand.NewChaCha8(seed)
	for range step / 4 * 32 {
		r.Uint64()
	}
	for w := range 8 {
		if r.Uint64() != binary.LittleEndian.Uint64(g[8*w:]) {
			return false
		}
	}
	return true
}

// reseed seeds the random generators of the base image for a run.
func (i *Instance) reseed(seed []byte) {
	for n, at := range i.m.generators {
		var b [generatorSize]byte
		own := derive(seed, "generator", n)
		r := rand.NewChaCha8(own)
		for w := range 32 {
			binary.LittleEndian.PutUint64(b[8*w:], r.Uint64())
		}
		copy(b[generatorSeed:], own[:])
		binary.LittleEndian.PutUint32(b[generatorThere:], 32)
		if !i.mod.Memory().Write(at, b[:]) {
			panic("guest: a generator is outside of the base image")
		}
	}
}

// IsGo reports whether a module was built by Go.
func IsGo(bin []byte) bool { return isGo(bin) }

// isGo reports whether a module was built by Go. It looks for two marks of Go's linker: that for debug/buildinfo, and
// the language in the section "producers".
func isGo(bin []byte) bool {
	return bytes.Contains(bin, []byte("\xff Go buildinf:")) || bytes.Contains(bin, []byte("\x08language\x01\x02Go"))
}
