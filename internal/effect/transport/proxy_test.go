package transport

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestProxyThatCannotBeUsedIsInvalid(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"proxy.example", "proxy.example:3128", "socks5://proxy.example:1", "ftp://a", "http://", "http://a:hunter2@%zz"} {
		err := Proxy{URL: s}.Check()
		if !errors.Is(err, flawless.Invalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", s, err)
		}
	}
	if err := (Proxy{URL: "https://ann:pw@proxy.example", PlainURL: "http://[::1]:3128"}).Check(); err != nil {
		t.Error(err)
	}
}
