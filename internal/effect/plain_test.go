package effect

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// samePlain tells whether plainResponse takes a response, and checks that it is what net/http makes of it.
func samePlain(t *testing.T, data []byte) bool {
	t.Helper()
	in, usual := bufio.NewReader(bytes.NewReader(data)), bufio.NewReader(bytes.NewReader(data))
	got := plainResponse(in, "POST")
	if got == nil {
		if rest, err := io.ReadAll(in); err != nil || !bytes.Equal(rest, data) {
			t.Errorf("of %q, which is not plain, %q is left: %v", data, rest, err)
		}
		return false
	}
	want, err := http.ReadResponse(usual, &http.Request{Method: "POST"})
	if err != nil {
		t.Errorf("%q is no response: %v", data, err)
		return true
	}
	if got.StatusCode != want.StatusCode || !reflect.DeepEqual(got.Header, want.Header) || got.ContentLength != want.ContentLength || want.Close || len(want.TransferEncoding) > 0 || len(want.Trailer) > 0 {
		t.Errorf("%q is %+v, net/http says %+v", data, got, want)
	}
	a, gotErr := io.ReadAll(got.Body)
	b, wantErr := io.ReadAll(want.Body)
	if !bytes.Equal(a, b) || gotErr != wantErr {
		t.Errorf("the body of %q is %q, %v; net/http says %q, %v", data, a, gotErr, b, wantErr)
	}
	left, _ := io.ReadAll(in)
	if leftThere, _ := io.ReadAll(usual); gotErr == nil && !bytes.Equal(left, leftThere) {
		t.Errorf("behind %q is %q, net/http says %q", data, left, leftThere)
	}
	return true
}

var plainSamples = map[string]bool{
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello": true,
	"HTTP/1.1 200\r\ncontent-length:\t5 \r\nx-a: 1\r\nX-A: 2\r\nconnection: Keep-Alive\r\n\r\nhello and more":                    true,
	"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n":                                            true,
	"HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\nhel":                                                                           true,

	"":                  false,
	"HTTP/1.1 200 OK\r": false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n":                                                  false,
	"HTTP/1.1 200 OK\r\n\r\n":                                                                   false,
	"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello":                                         false,
	"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello":                                        false,
	"HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello":                                         false,
	"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello":                                   false,
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello":                                 false,
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello":                               false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello":                    false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, close\r\n\r\nhello":        false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello":                    false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello":                    false,
	"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello":                                        false,
	"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello":                                        false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5_0\r\n\r\nhello":                                       false,
	"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello":                       false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":       false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTrailer: X\r\n\r\nhello":                           false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nPragma: no-cache\r\n\r\nhello":                     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\n b\r\n\r\nhello":                           false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\nY: b\r\n\r\nhello":                           false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX : a\r\n\r\nhello":                                false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n: a\r\n\r\nhello":                                  false,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: \xff\r\n\r\nhello":                              false,
	"HTTP/1.1 200 O\nK\r\nContent-Length: 5\r\n\r\nhello":                                       false,
	"HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("a", 5000) + "\r\nContent-Length: 5\r\n\r\n": false,
}

func TestPlainResponsesAreWhatTheyAreToNetHTTP(t *testing.T) {
	t.Parallel()
	for data, plain := range plainSamples {
		if got := samePlain(t, []byte(data)); got != plain {
			t.Errorf("%.200q is plain: %v", data, got)
		}
	}
	for _, method := range []string{"HEAD", "CONNECT"} {
		if plainResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")), method) != nil {
			t.Errorf("a response to %s has no body", method)
		}
	}
}

func FuzzPlainResponse(f *testing.F) {
	for data := range plainSamples {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) { samePlain(t, data) })
}
