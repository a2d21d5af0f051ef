package flawless

import (
	"strings"
	"testing"
)

func TestErrorsHidePasswords(t *testing.T) {
	t.Parallel()
	const url = "https://ann:pa@ss@host:8443/a@b?c=d"
	for _, err := range []error{
		&NotSent{Call: 1, Method: "GET", URL: url},
		&Interrupted{Call: 1, Method: "GET", URL: url},
		&CallError{Method: "GET", URL: url},
		&StatusError{Method: "GET", URL: url, Status: 500},
		second(PostJSON[any](t.Context(), url, func() {})),
	} {
		if text := err.Error(); strings.Contains(text, "ann:") || strings.Contains(text, "ss@") || !strings.Contains(text, "https://***@host:8443/a@b?c=d") {
			t.Errorf("%T: %s", err, text)
		}
	}
	for _, odd := range []string{`http://ann:pa'ss@h/`, `http://ann:pa ss@h/`, `http://ann:pa/ss@h/`, `//ann:pass@h/`, `http:/ann:pass@h/`, `HTTP:ann:pass@h/`, `http:\\ann:pass@h/`, `http:///ann:pass@h/`, `ann:pass@h/`} {
		if got := withoutUser(odd); strings.Contains(got, "ss") || strings.Contains(got, "ann") || !strings.HasSuffix(got, "***@h/") {
			t.Errorf("%s became %s", odd, got)
		}
	}
	for _, plain := range []string{"https://host/a@b", "host@x", "", "https://[::1]:80"} {
		if got := withoutUser(plain); got != plain {
			t.Errorf("%s became %s", plain, got)
		}
	}
}

func second[T any](_ T, err error) error { return err }
