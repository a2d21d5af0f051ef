package live

import (
	"strconv"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestLargeImagesAreRarer(t *testing.T) {
	t.Parallel()
	f := Freezing{}
	f.defaults()
	for _, row := range []struct {
		units       uint64
		turns, size int
		leaves      bool
		want        bool
	}{
		{turns: 0, units: 1 << 40, leaves: true},
		{turns: 249},
		{turns: 250, want: true},
		{turns: 250, size: 1<<20 + 1, want: true},
		{turns: 1, units: 100 << 20, want: true},
		{turns: 1, units: 8 << 20, leaves: true, want: true},
		{turns: 250, size: 20 << 20},
		{turns: 4999, size: 20 << 20},
		{turns: 5000, size: 20 << 20, want: true},
		{turns: 1, units: 100 << 20, size: 20 << 20},
		{turns: 1, units: 2000 << 20, size: 20 << 20, want: true},
		{turns: 1, units: 8 << 20, size: 20 << 20, leaves: true},
		{turns: 1, units: 160 << 20, size: 20 << 20, leaves: true, want: true},
	} {
		if got := f.worth(row.units, row.turns, row.size, row.leaves); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
	if f := (Freezing{Never: true}); f.worth(1<<40, 1<<20, 0, true) {
		t.Error("an image is made although none is to be")
	}
}

func TestSizeOfImageIsRemembered(t *testing.T) {
	t.Parallel()
	h := open(t, 0, put, number)
	r := h.create("r")
	h.until("r", isWaiting)
	untilIdle(r)
	r.freeze()
	m, err := h.o.Store.Image(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	size, want := r.imageSize, len(m.Guest)+len(m.State)
	r.mu.Unlock()
	if size != want || size == 0 {
		t.Errorf("%d bytes, want %d", size, want)
	}
	r.Release()
	h.evict(r)
	again, err := h.Acquire(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if again.imageSize != want {
		t.Errorf("%d bytes after the run was loaded, want %d", again.imageSize, want)
	}
}

// TestBusyRunIsFrozen: an image is also made of a run whose next turn is due whenever it has taken one.
func TestBusyRunIsFrozen(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number, number, number, number, number, number, number, number)
	h.o.Freezing.Turns = 3
	r := h.create("r")
	h.until("r", isWaiting)
	r.mu.Lock()
	for n := range 8 {
		entries, err := r.s.Accept(flawless.Message{Type: "number", Key: strconv.Itoa(n), Body: []byte("1")}, h.o.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.append(entries...)
	}
	r.wakeLocked()
	r.mu.Unlock()
	h.until("r", hasEnded)
	r.Release()
	if n := h.counts.frozen.Load(); n < 2 {
		t.Errorf("%d images were made in 9 turns", n)
	}
}
