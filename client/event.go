package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
)

// event is a server-sent event (WHATWG HTML, section 9.2).
type event struct {
	name string
	data []byte
}

// events yields the events of a stream until it ends.
func events(r io.Reader) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		in := bufio.NewReader(r)
		var e event
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(event{}, err)
				}
				return
			}
			line = bytes.TrimRight(line, "\r\n")
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "event":
				e.name = string(value)
			case "data":
				if len(e.data) > 0 {
					e.data = append(e.data, '\n')
				}
				e.data = append(e.data, value...)
			case "":
				if len(line) == 0 && len(e.data) > 0 {
					if !yield(e, nil) {
						return
					}
					e = event{}
				}
			}
		}
	}
}
