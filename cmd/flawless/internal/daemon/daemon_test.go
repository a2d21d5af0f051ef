package daemon

import (
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestBindAddress(t *testing.T) {
	t.Parallel()
	for bind, want := range map[string]string{
		"0.0.0.0": "0.0.0.0:27288", "0.0.0.0:8000": "0.0.0.0:8000", "::1": "[::1]:27288", "[::1]": "[::1]:27288", "[::]:80": "[::]:80", "example.org": "example.org:27288",
		"http://a": "", "a:b:c": "", "a b": "",
	} {
		got, err := BindAddress(bind, "localhost:27288")
		if got != want || errors.Is(err, flawless.Invalid) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", bind, got, err, want)
		}
	}
}
