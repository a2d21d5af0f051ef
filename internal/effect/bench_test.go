package effect_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

func echo(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

func BenchmarkPost(b *testing.B) {
	c := effect.NewClient(effect.ClientOptions{}, nil)
	defer c.Close()
	made := call(string(make([]byte, 1024)), "method", "POST", "url", echo(b), "headers", [][]string{{"Content-Type", "application/octet-stream"}})
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Perform(b.Context(), effect.Attempt{Run: "wkf_x", Call: made, N: 1}); r.Outcome != effect.Answered || len(r.Answer.Body) != 1024 {
			b.Fatal(r.Text)
		}
	}
}

// BenchmarkFloor is the same exchange with the standard library's client.
func BenchmarkFloor(b *testing.B) {
	url, body := echo(b), make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		res, err := http.Post(url, "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); err != nil || len(got) != 1024 {
			b.Fatal(err)
		}
		_ = res.Body.Close()
	}
}

func BenchmarkCheck(b *testing.B) {
	check := effect.Kinds(effect.Options{})[0].Check
	made := call("", "method", "POST", "url", "https://pay.example/charges", "headers", [][]string{{"Content-Type", "application/json"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := check(made); err != nil {
			b.Fatal(err)
		}
	}
}
