package main

import (
	"image"
	"image/color"
	"testing"
)

// TestRareHuesAreKept checks that a few pixels of a hue keep it beside thousands of shades of grey and blue.
func TestRareHuesAreKept(t *testing.T) {
	t.Parallel()
	picture := image.NewRGBA(image.Rect(0, 0, 400, 400))
	for y := range 400 {
		for x := range 400 {
			picture.Set(x, y, color.RGBA{uint8(x / 2), uint8(x / 2), uint8(y / 2), 255})
		}
	}
	red := color.RGBA{220, 20, 20, 255}
	picture.Set(7, 7, red)
	small := reduce(picture)
	if len(small.Palette) > most {
		t.Errorf("there are %d colours", len(small.Palette))
	}
	if got := small.At(7, 7); got != color.Color(red) {
		t.Errorf("red became %v", got)
	}
	for y := range 400 {
		for x := range 400 {
			if want, got := rgba(picture.At(x, y)), rgba(small.At(x, y)); distance(want, got) > 30*30 {
				t.Fatalf("at %d, %d, %v became %v", x, y, want, got)
			}
		}
	}
}
