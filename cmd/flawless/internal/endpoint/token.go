package endpoint

import (
	"fmt"
	"os"
	"strings"

	"github.com/flawless-engine/flawless"
)

// TokenVariable is the environment variable with the API token. --token-file takes precedence.
const TokenVariable = "FLAWLESS_TOKEN"

// Token returns the API token, or "" if there is none.
func (t *Endpoint) Token() (string, error) {
	text, where := os.Getenv(TokenVariable), "$"+TokenVariable
	if t.TokenFile == "" && text == "" {
		return "", nil
	}
	if t.TokenFile != "" {
		b, err := os.ReadFile(t.TokenFile)
		if err != nil {
			return "", fmt.Errorf("reading the token: %v: %w", err, flawless.Invalid)
		}
		text, where = string(b), t.TokenFile
	}
	text = strings.TrimSpace(text)
	other := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(text) < 16 || len(text) > 1000 || strings.ContainsFunc(text, other) {
		return "", fmt.Errorf("the token in %s is invalid: it must be 16 to 1000 visible ASCII characters without spaces; generate one with: openssl rand -hex 32: %w", where, flawless.Invalid)
	}
	return text, nil
}
