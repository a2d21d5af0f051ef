package main

import (
	"cmp"
	"image"
	"image/color"
	"maps"
	"slices"
)

// most is how many colours a picture keeps.
const most = 256

// reduce returns a picture with the colours that it has most often; each other one becomes the nearest of these.
func reduce(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	count := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[rgba(picture.At(x, y))]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var kept color.Palette
	for _, near := range []int{48, 24, 8, 0} { // first colours that differ much: few pixels of a hue keep it
		for _, c := range all {
			if len(kept) < most && !slices.ContainsFunc(kept, func(k color.Color) bool { return distance(k.(color.RGBA), c) <= near*near }) {
				kept = append(kept, c)
			}
		}
	}
	nearest := map[color.RGBA]uint8{}
	for c := range count {
		nearest[c] = uint8(kept.Index(c))
	}
	out := image.NewPaletted(bounds, kept)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			out.SetColorIndex(x, y, nearest[rgba(picture.At(x, y))])
		}
	}
	return out
}

func rgba(c color.Color) color.RGBA { return color.RGBAModel.Convert(c).(color.RGBA) }

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
