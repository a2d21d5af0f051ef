// Command hello is the smallest workflow that does something: it waits, logs and answers.
package main

import (
	"context"
	"log/slog"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Greeted is the output.
type Greeted struct {
	Greeting string    `json:"greeting"`
	At       time.Time `json:"at"`
}

// Person is the input.
type Person struct {
	Name string `json:"name" doc:"whom to greet"`
}

func main() {
	flawless.Workflow("hello", hello, flawless.Doc("Greets somebody after a second."))
}

func hello(ctx context.Context, p Person) (Greeted, error) {
	slog.Info("about to greet", "name", p.Name)
	if err := flawless.Sleep(ctx, time.Second); err != nil {
		return Greeted{}, err
	}
	return Greeted{Greeting: "Hello, " + p.Name + "!", At: time.Now().UTC()}, nil
}
