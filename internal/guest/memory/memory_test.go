package memory

import (
	"bytes"
	"testing"
)

const pageSize = 64 << 10

// kinds are the two ways in which memory is made. On systems without shared maps they are the same.
var kinds = map[string]bool{"mapped": false, "copied": true}

// newMemory returns memory that begins with an image of two pages and is limited to eight.
func newMemory(t *testing.T, copied bool) (Linear, []byte) {
	t.Helper()
	image := bytes.Repeat([]byte("flawless"), 2*pageSize/8)
	base, err := NewImage(bytes.Clone(image), copied)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(base.Close)
	l, err := New(base, 8*pageSize, copied)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Free)
	return l, image
}

func grow(t *testing.T, l Linear, size uint64) []byte {
	t.Helper()
	b, err := l.Grow(size)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemoryIsResetToItsImage(t *testing.T) {
	t.Parallel()
	for name, copied := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, image := newMemory(t, copied)
			for range 3 {
				if !bytes.Equal(l.Bytes(), image) {
					t.Fatal("memory does not begin as its image")
				}
				b := grow(t, l, 4*pageSize)
				if len(b) != 4*pageSize || !bytes.Equal(b[:2*pageSize], image) || !bytes.Equal(b[2*pageSize:], make([]byte, 2*pageSize)) {
					t.Fatal("growing changes memory, or adds bytes that are not zero")
				}
				for at := 0; at < len(b); at += 4096 {
					b[at]++
				}
				if !l.Reset() {
					t.Fatal("memory cannot be reset")
				}
				if b := grow(t, l, 3*pageSize); len(b) != 2*pageSize {
					t.Fatalf("the first Grow after a reset returns %d bytes, want those of the image", len(b))
				}
			}
		})
	}
}

func TestMemoryDoesNotGrowAboveItsLimit(t *testing.T) {
	t.Parallel()
	for name, copied := range kinds {
		l, image := newMemory(t, copied)
		if b := grow(t, l, 8*pageSize); len(b) != 8*pageSize {
			t.Errorf("%s: growing to the limit gives %d bytes", name, len(b))
		}
		if b := grow(t, l, 9*pageSize); b != nil {
			t.Errorf("%s: growing above the limit gives %d bytes", name, len(b))
		}
		base := &Image{Bytes: image}
		if _, err := New(base, pageSize, copied); err == nil {
			t.Errorf("%s: an image above the limit is accepted", name)
		}
	}
}

func TestTouchedCoversEveryChange(t *testing.T) {
	t.Parallel()
	for name, copied := range kinds {
		l, image := newMemory(t, copied)
		b := grow(t, l, 3*pageSize)
		changed := []int{0, 5000, 2*pageSize - 1, 2*pageSize + 7}
		for _, at := range changed {
			b[at]++
		}
		rebuilt := append(bytes.Clone(image), make([]byte, pageSize)...)
		for _, s := range l.Touched() {
			copy(rebuilt[s.From:s.To], l.Bytes()[s.From:s.To])
		}
		if !bytes.Equal(rebuilt, l.Bytes()) {
			t.Errorf("%s: the image and what was touched do not make the memory", name)
		}
	}
}

func TestInstancesShareNoMemory(t *testing.T) {
	t.Parallel()
	for name, copied := range kinds {
		base, err := NewImage(make([]byte, pageSize), copied)
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		var all [2]Linear
		for k := range all {
			if all[k], err = New(base, 2*pageSize, copied); err != nil {
				t.Fatal(err)
			}
			defer all[k].Free()
		}
		all[0].Bytes()[9] = 1
		if all[1].Bytes()[9] != 0 || base.Bytes[9] != 0 {
			t.Errorf("%s: a write to one instance is seen elsewhere", name)
		}
	}
}
