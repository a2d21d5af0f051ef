package bundle

import (
	"bytes"
	"testing"

	"github.com/flawless-engine/flawless"
)

func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	if err := Write(&out, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := Read(bytes.NewReader(file)); err != nil && flawless.CodeOf(err) == "" {
			t.Errorf("an error without a class: %v", err)
		}
		_, _ = unpack(file)
	})
}
