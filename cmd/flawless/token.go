package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/flawless-engine/flawless"
)

// tokenVariable holds the token that the server asks for, where --token-file names no file.
const tokenVariable = "FLAWLESS_TOKEN"

// token returns what a server asks for and a client sends; "" is none.
func (a *app) token() (string, error) {
	text, where := os.Getenv(tokenVariable), "$"+tokenVariable
	if a.tokenFile == "" && text == "" {
		return "", nil
	}
	if a.tokenFile != "" {
		b, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return "", fmt.Errorf("reading the token: %v: %w", err, flawless.Invalid)
		}
		text, where = string(b), a.tokenFile
	}
	text = strings.TrimSpace(text)
	other := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(text) < 16 || len(text) > 1000 || strings.ContainsFunc(text, other) {
		return "", fmt.Errorf("the token in %s is invalid: it must be 16 to 1000 visible ASCII characters without spaces; generate one with: openssl rand -hex 32: %w", where, flawless.Invalid)
	}
	return text, nil
}
