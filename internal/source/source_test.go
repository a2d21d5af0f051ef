package source

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// empty is the smallest module.
var empty = []byte("\x00asm\x01\x00\x00\x00")

// other has a custom section of another name.
var other = append(slices.Clone(empty), 0, 4, 1, 'x', 'y', 'z')

func TestFilesComeBack(t *testing.T) {
	t.Parallel()
	with, left, err := Add(other, map[string][]byte{
		"shop/main.go":   []byte("package main\n\nfunc main() {}\n"),
		"shop/a/main.go": []byte("no end"),
		"shop/bin.go":    {0xff, 0xfe},
		"shop/huge.go":   bytes.Repeat([]byte("x"), MaxFile+1),
	})
	if err != nil || !slices.Equal(left, []string{"shop/bin.go", "shop/huge.go"}) {
		t.Fatalf("left out %v, %v", left, err)
	}
	want := []flawless.SourceFile{{Name: "shop/a/main.go", Lines: 1, Text: "no end"}, {Name: "shop/main.go", Lines: 3, Text: "package main\n\nfunc main() {}\n"}}
	if got := Read(with); !slices.Equal(got, want) {
		t.Errorf("it has %+v", got)
	}
	again, _, err := Add(with, map[string][]byte{"b.go": []byte("b")})
	if err != nil || len(Read(again)) != 1 || Read(again)[0].Name != "b.go" || string(rewrite.CustomSection(again, "x")) != "yz" {
		t.Errorf("added again, it has %+v, %v", Read(again), err)
	}
	if none, _, err := Add(again, nil); err != nil || !bytes.Equal(none, other) {
		t.Errorf("without files it is %q, %v", none, err)
	}
}

// TestAllFilesAreBounded adds nine files of the maximum size.
func TestAllFilesAreBounded(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for _, name := range strings.Split("abcdefghi", "") {
		files[name] = bytes.Repeat([]byte(`"`), MaxFile) // longest in JSON
	}
	with, left, err := Add(empty, files)
	if err != nil || len(left) != 2 || left[0] != "h" || len(Read(with)) != 7 {
		t.Errorf("left out %v, has %d, %v", left, len(Read(with)), err)
	}
}

func TestDamagedSectionsHaveNoFiles(t *testing.T) {
	t.Parallel()
	with, _, err := Add(empty, map[string][]byte{"a.go": []byte("package a\n")})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for at := len(empty); at < len(with); at++ {
		_ = Read(with[:at])
		changed := slices.Clone(with)
		changed[at] ^= byte(1 + random.IntN(255))
		_ = Read(changed) // neither panics
		_, _, _ = Add(changed, nil)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := e.EncodeAll(make([]byte, 1<<27), []byte{version})
	section := append([]byte{byte(len(Section))}, append([]byte(Section), bomb...)...)
	size := []byte{byte(len(section)&0x7f | 0x80), byte(len(section)>>7&0x7f | 0x80), byte(len(section) >> 14)}
	if got := Read(append(append(append(slices.Clone(empty), 0), size...), section...)); got != nil {
		t.Errorf("a bomb has %d files", len(got))
	}
}

func TestFindTakesPositions(t *testing.T) {
	t.Parallel()
	files := []flawless.SourceFile{{Name: "shop/main.go"}, {Name: "shop/a/x/y.go"}, {Name: "shop/b/x/y.go"}, {Name: "main.go"}}
	for name, want := range map[string]string{"shop/main.go": "shop/main.go", "main.go": "main.go", "a/x/y.go": "shop/a/x/y.go", "x/y.go": "", "hop/main.go": "", "": ""} {
		if f, ok := Find(files, name); f.Name != want || ok != (want != "") {
			t.Errorf("%q is %q", name, f.Name)
		}
	}
}
