// Package session turns the token of a server into what a browser may hold: a code that logs in once, and the value of a
// cookie.
//
// Both are signed with keys made from the token, so all servers with the same token accept them, and nobody who sees one
// learns the token. They end with the token. The package keeps no state except the codes that were used.
package session

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

// How long a code and a cookie are valid.
const (
	CodeFor   = 10 * time.Minute
	CookieFor = 7 * 24 * time.Hour
)

// Keys makes and checks codes and cookies. It may be used concurrently.
type Keys struct {
	code, cookie []byte
	mu           sync.Mutex
	used         map[string]time.Time // codes, until when they would be valid
}

// New returns the keys of a token, which must not be empty.
func New(token string) *Keys {
	return &Keys{code: derive(token, "console code"), cookie: derive(token, "console cookie"), used: map[string]time.Time{}}
}

func derive(token, what string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, "flawless "+what, 32)
	if err != nil {
		panic(err) // the length is fixed
	}
	return key
}

// Code returns a code that logs in once, within [CodeFor] of now.
func (k *Keys) Code(now time.Time) string { return sign(k.code, now.Add(CodeFor)) }

// Cookie returns the value of a cookie that is valid for [CookieFor] from now.
func (k *Keys) Cookie(now time.Time) string { return sign(k.cookie, now.Add(CookieFor)) }

// Valid reports whether a cookie was made with the same token and is still valid.
func (k *Keys) Valid(cookie string, now time.Time) bool {
	_, ok := until(k.cookie, cookie, now)
	return ok
}

// Use reports whether a code is valid and was not used at this server before. It is used from then on.
func (k *Keys) Use(code string, now time.Time) bool {
	end, ok := until(k.code, code, now)
	if !ok {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for old, end := range k.used {
		if now.After(end) {
			delete(k.used, old)
		}
	}
	_, before := k.used[code]
	k.used[code] = end
	return !before
}

const (
	nonceSize = 12
	bodySize  = 8 + nonceSize
)

// sign returns the end in Unix seconds, a nonce and the MAC of both.
func sign(key []byte, end time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(end.Unix()))
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	b = append(b, nonce...)
	return base64.RawURLEncoding.EncodeToString(append(b, mac(key, b)...))
}

func until(key []byte, text string, now time.Time) (time.Time, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != bodySize+sha256.Size || !hmac.Equal(b[bodySize:], mac(key, b[:bodySize])) {
		return time.Time{}, false
	}
	end := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return end, now.Before(end)
}

func mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}
