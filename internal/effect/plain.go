package effect

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// plainResponse reads the head of a response as nearly every server sends it: HTTP/1.1, whole in one piece,
// with the length of its body. It returns nil for any other, of which it has read nothing then: those are
// for http.ReadResponse, which takes several times as long and would return the same.
func plainResponse(in *bufio.Reader, method string) *http.Response {
	if method == http.MethodHead || method == http.MethodConnect {
		return nil
	}
	_, _ = in.Peek(1) // whoever reads on meets the error
	b, _ := in.Peek(in.Buffered())
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	first, fields, _ := strings.Cut(string(b[:end+2]), "\r\n")
	res := &http.Response{StatusCode: plainStatus(first), ContentLength: -1}
	if res.StatusCode == 0 || !plainFields(fields, res) || res.ContentLength < 0 {
		return nil
	}
	_, _ = in.Discard(end + 4) // it is there
	res.Body = &exactly{in, res.ContentLength}
	return res
}

// plainStatus returns the status that the first line tells, 0 where it is not one of a response with a body.
func plainStatus(line string) int {
	const before = "HTTP/1.1 "
	if len(line) < len(before)+3 || line[:len(before)] != before || len(line) > len(before)+3 && line[len(before)+3] != ' ' || !isPlainText(line) {
		return 0
	}
	n, err := strconv.Atoi(line[len(before) : len(before)+3])
	if err != nil || n < 200 || n > 599 || n == http.StatusNoContent || n == http.StatusNotModified {
		return 0
	}
	return n
}

// plainFields reads header fields, each with its line end, and the length among them. It returns false for
// those that change how the body is read.
func plainFields(text string, res *http.Response) bool {
	n := strings.Count(text, "\r\n")
	res.Header = make(http.Header, n)
	values := make([]string, n)
	for k := range n {
		line, rest, _ := strings.Cut(text, "\r\n")
		text = rest
		name, value, there := strings.Cut(line, ":")
		if !there || !httpguts.ValidHeaderFieldName(name) || !isPlainText(value) {
			return false
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		switch name {
		case "Content-Length":
			length, err := strconv.ParseUint(value, 10, 62)
			if err != nil || res.ContentLength >= 0 {
				return false
			}
			res.ContentLength = int64(length)
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case "Transfer-Encoding", "Trailer", "Pragma":
			return false
		}
		if before := res.Header[name]; before != nil {
			res.Header[name] = append(before, value)
			continue
		}
		values[k] = value
		res.Header[name] = values[k : k+1 : k+1]
	}
	return true
}

// isPlainText tells whether a text is printable ASCII, spaces and tabs.
func isPlainText(s string) bool { return ascii(s) && httpguts.ValidHeaderFieldValue(s) }

// exactly reads so many bytes. An end before that is not expected.
type exactly struct {
	in   *bufio.Reader
	left int64
}

// Read implements io.Reader.
func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.in.Read(p[:min(int64(len(p)), e.left)])
	switch e.left -= int64(n); {
	case e.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (e *exactly) Close() error { return nil }
