package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Listening says how a response is read.
type Listening struct {
	URL    string
	Enough int  `json:",omitempty"` // parts after which it is closed
	Ack    bool `json:",omitempty"` // each part is acknowledged
}

// Heard is what came of a response.
type Heard struct {
	Status int
	Parts  []string
	Wrong  string
}

// listen reads a response as it comes, and publishes what it has.
func listen(ctx context.Context, in Listening) (out Heard, err error) {
	r, err := flawless.Post(ctx, in.URL+"/events", "text/plain", nil, flawless.Stream())
	if err != nil {
		return out, err
	}
	defer r.Stream.Close()
	out.Status = r.Status
	for buf := make([]byte, 1000); ; {
		n, err := r.Stream.Read(buf)
		if n > 0 {
			out.Parts = append(out.Parts, string(buf[:n]))
			if err := flawless.SetData(out); err != nil {
				return out, err
			}
			if in.Ack {
				if _, err := flawless.Do(ctx, flawless.Request{Method: "PUT", URL: fmt.Sprintf("%s/ack/%d", in.URL, len(out.Parts))}); err != nil {
					return out, err
				}
			}
		}
		var call *flawless.CallError
		switch {
		case err == io.EOF || in.Enough > 0 && len(out.Parts) == in.Enough:
			return out, nil
		case errors.As(err, &call):
			out.Wrong = call.Kind + ": " + call.Message
			return out, nil
		case err != nil:
			return out, err
		}
	}
}
