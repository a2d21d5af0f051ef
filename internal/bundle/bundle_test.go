package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

func sample() Bundle {
	module := []byte("\x00asm and so on")
	sum := sha256.Sum256(module)
	digest := hex.EncodeToString(sum[:])
	return Bundle{
		Manifest: Manifest{Run: flawless.Run{ID: "run", Module: "shop", Digest: digest}, Module: flawless.Module{Name: "shop", Digest: digest}},
		Module:   module,
		Log: []flawless.Record{
			{Entries: []flawless.Entry{{At: 5, Start: &flawless.Start{Module: "shop", Digest: digest, Workflow: "buy", Input: []byte(`{"card":"<4711>"}`), Seed: make([]byte, 32)}}}},
			{Seq: 1, Epoch: 2, Entries: []flawless.Entry{{At: 6, Turn: &flawless.Turn{N: 1, Calls: []flawless.Call{{N: 1, Kind: "http", Head: []byte(`{ "url":"a" }`), Body: []byte("\xff")}}}}}},
		},
		Image: &store.Image{Seq: 1, State: []byte("state"), Guest: []byte("guest")},
	}
}

func written(t *testing.T, b Bundle) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBundleRoundTrip(t *testing.T) {
	t.Parallel()
	want := sample()
	file := written(t, want)
	if !bytes.Equal(file, written(t, sample())) {
		t.Error("the same bundle gave other bytes")
	}
	got, err := Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want.Manifest.Format, want.Manifest.Engine = Format, flawless.Version
	want.Manifest.LogFormat, want.Manifest.GuestInterface = flawless.LogFormat, flawless.GuestInterface
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestIncompleteBundleIsRefused(t *testing.T) {
	t.Parallel()
	file := written(t, sample())
	change := func(at int, to byte) []byte {
		b := bytes.Clone(file)
		b[at] = to
		return b
	}
	foreign := sample()
	foreign.Module = []byte("another")
	headless := sample()
	headless.Log = headless.Log[1:]
	for name, row := range map[string]struct {
		file []byte
		code flawless.Code
	}{
		"nothing":               {nil, flawless.Invalid},
		"something else":        {[]byte("PK\x03\x04 and a long archive behind"), flawless.Invalid},
		"a newer format":        {change(len(magic), Format+1), flawless.Conflict},
		"no format":             {change(len(magic), 0), flawless.Damaged},
		"cut in its head":       {file[:20], flawless.Damaged},
		"cut in the middle":     {file[:len(file)-7], flawless.Damaged},
		"longer than it was":    {append(bytes.Clone(file), 1), flawless.Damaged},
		"a byte changed":        {change(len(file)-9, file[len(file)-9]^1), flawless.Damaged},
		"a checksum changed":    {change(20, file[20]^1), flawless.Damaged},
		"not the run's module":  {written(t, foreign), flawless.Damaged},
		"a log without a start": {written(t, headless), flawless.Damaged},
	} {
		if _, err := Read(bytes.NewReader(row.file)); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", name, err, row.code)
		}
	}
}
