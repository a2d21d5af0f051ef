package session

import (
	"testing"
	"time"
)

func TestCodesLogInOnce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	k, same, other := New("0123456789abcdef"), New("0123456789abcdef"), New("fedcba9876543210")
	code := New("0123456789abcdef").Code(now)
	if other.Use(code, now) {
		t.Error("a code is valid for another token")
	}
	if k.Use(code, now.Add(CodeFor)) {
		t.Error("a code is valid after its time")
	}
	if !k.Use(code, now.Add(CodeFor-time.Second)) {
		t.Fatal("a code is not valid")
	}
	if k.Use(code, now) {
		t.Error("a code is valid twice")
	}
	if k.Valid(code, now) || same.Use(k.Cookie(now), now) {
		t.Error("a code is a cookie, or a cookie a code")
	}
}

func TestCookiesEnd(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	k := New("0123456789abcdef")
	cookie := k.Cookie(now)
	if !New("0123456789abcdef").Valid(cookie, now.Add(CookieFor-time.Second)) {
		t.Error("another server with the token refuses the cookie")
	}
	longer := []byte(cookie)
	longer[7]++ // of the time
	for what, text := range map[string]string{"none": "", "half of it": cookie[:20], "another time": string(longer), "with a tail": cookie + "AAAA"} {
		if k.Valid(text, now) {
			t.Errorf("%s is valid", what)
		}
	}
	if k.Valid(cookie, now.Add(CookieFor)) || New("fedcba9876543210").Valid(cookie, now) {
		t.Error("a cookie is valid too long, or for another token")
	}
}
