package flawless_test

import (
	"fmt"
	"strings"
	"testing"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func TestSecretNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", "a.b", "Ä", strings.Repeat("x", 101)} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "invalid secret name") {
					t.Errorf("Secret(%q) panics with %s", name, text)
				}
			}()
			flawless.Secret(name)
		}()
	}
	if got := flawless.Secret("STRIPE_KEY-2"); !strings.HasPrefix(got, "flawless-secret.STRIPE_KEY-2.") {
		t.Errorf("the placeholder is %q", got)
	}
}
