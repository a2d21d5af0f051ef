package flawless

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Secret describes a secret. It never contains the value.
type Secret struct {
	Name    string    `json:"name" cbor:"1,keyasint"`
	Hosts   []string  `json:"hosts" cbor:"2,keyasint"` // hosts it may be sent to, see [ParseSecretHost]
	Changed time.Time `json:"changed" cbor:"3,keyasint"`
	Key     string    `json:"key" cbor:"4,keyasint"` // id of the key with which it is sealed
	// Problem says why the secret cannot be used.
	Problem string `json:"problem,omitempty" cbor:"-"`
	// Anywhere allows every host, in a rehearsal where nothing leaves the process. It is never stored.
	Anywhere bool `json:"-" cbor:"-"`
}

// SealedSecret is a secret as it is stored. Its value cannot be read without the key.
type SealedSecret struct {
	Secret
	Box []byte `json:"box" cbor:"5,keyasint"`
}

// OpenSecret is a secret with its value. It always prints as its name.
type OpenSecret struct {
	Secret
	Value string `json:"-" cbor:"-"`
}

func (s OpenSecret) String() string { return "secret " + s.Name }

// GoString implements fmt.GoStringer.
func (s OpenSecret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s OpenSecret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Limits of secrets. A shorter value could be guessed, and would be found everywhere in the responses that are
// searched for it.
const (
	MaxSecretName  = 100
	MinSecretValue = 8
	MaxSecretValue = 64 << 10
	MaxSecretHosts = 100
)

// CheckSecretName returns nil if name is a valid name of a secret, otherwise [Invalid] with the reason.
func CheckSecretName(name string) error {
	if n := SecretNameLength(name); n == 0 || n != len(name) {
		return fmt.Errorf("the name of a secret must be 1 to %d letters, digits, dashes and underscores; %.200q is not: %w", MaxSecretName, name, Invalid)
	}
	return nil
}

// SecretNameLength returns how many bytes at the beginning of text form the name of a secret.
func SecretNameLength(text string) int {
	n := 0
	for n < len(text) && n < MaxSecretName {
		c := text[n]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			break
		}
		n++
	}
	return n
}

// PlaceholderStart is the prefix of all placeholders. Its characters survive every encoding of requests.
const PlaceholderStart = "flawless-secret."

// SecretToken returns the part of a run's placeholders that nobody else can guess, so that text from a third party
// cannot turn into a secret. seed is that of the run.
func SecretToken(seed []byte) string {
	sum := sha256.Sum256(append([]byte("flawless secret token"), seed...))
	return hex.EncodeToString(sum[:16])
}

// Placeholder returns what a run puts into a request in place of the value of a secret.
func Placeholder(name, token string) string { return PlaceholderStart + name + "." + token }

// SecretHost is a host that a secret may be sent to.
type SecretHost struct {
	Scheme string // https or http
	Name   string // lower case; "*.example.com" means every name below example.com
	Port   string
}

// ParseSecretHost parses a host that a secret may be sent to: api.example.com, api.example.com:8443 or *.example.com
// for https, or http://10.0.0.7:8080 for a host without encryption. Errors are [Invalid].
func ParseSecretHost(text string) (SecretHost, error) {
	bad := func(why string) (SecretHost, error) {
		return SecretHost{}, fmt.Errorf("the host %.200q %s; use a form such as api.example.com, *.example.com, api.example.com:8443 or http://localhost:8080: %w", text, why, Invalid)
	}
	h := SecretHost{Scheme: "https", Port: "443"}
	rest := strings.ToLower(text)
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		if h.Scheme, rest = scheme, after; scheme != "http" && scheme != "https" {
			return bad("has a scheme that is neither https nor http")
		}
	}
	if h.Scheme == "http" {
		h.Port = "80"
	}
	if name, port, err := net.SplitHostPort(rest); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return bad("has a port that is not 1 to 65535")
		}
		rest, h.Port = name, port
	}
	h.Name = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	plain := strings.TrimPrefix(h.Name, "*.")
	if plain == "" || strings.ContainsFunc(plain, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) || strings.Contains(plain, ":") && net.ParseIP(plain) == nil {
		return bad("is not a host name")
	}
	if plain != h.Name && !strings.Contains(plain, ".") {
		return bad("covers a whole top-level domain")
	}
	return h, nil
}

// Allows reports whether the secret may be sent to a server. Names are ASCII in lower case.
func (s *Secret) Allows(scheme, name, port string) bool {
	if s.Anywhere {
		return true
	}
	for _, text := range s.Hosts {
		h, err := ParseSecretHost(text)
		if err != nil || h.Scheme != scheme || h.Port != port {
			continue
		}
		if tail, below := strings.CutPrefix(h.Name, "*"); below && strings.HasSuffix(name, tail) && len(name) > len(tail) || h.Name == name {
			return true
		}
	}
	return false
}
