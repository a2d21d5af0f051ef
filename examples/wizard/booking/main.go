// Command booking is a web wizard: it asks for a trip step by step, lets a second person approve it if it is expensive,
// and gives up when the price is no longer held. All of its state is in the local variables of one function.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Input says who books, and for how long.
type Input struct {
	Traveller string `json:"traveller"`
	Hold      int    `json:"hold,omitempty" doc:"seconds for which the price is held; 900 if it is missing"`
}

// Trip is what the traveller has entered so far.
type Trip struct {
	To     string `json:"to,omitempty"`
	By     string `json:"by,omitempty" doc:"train or plane"`
	Class  int    `json:"class,omitempty" doc:"of the train: 1 or 2"`
	Bags   int    `json:"bags,omitempty" doc:"on the plane"`
	Nights int    `json:"nights,omitempty" doc:"in a hotel"`
	Room   string `json:"room,omitempty" doc:"single or suite"`
}

// Answer is a message of type answer: what somebody has entered in a step.
type Answer struct {
	Step string `json:"step" doc:"the step that the page showed; the answer to another one is ignored"`
	Back bool   `json:"back,omitempty" doc:"go to the step before"`
	Trip Trip   `json:"trip" doc:"the whole form, also what was entered before"`
}

// Decision is a message of type decide.
type Decision struct {
	Yes bool   `json:"yes"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// Page is the run's data: everything that the page shows.
type Page struct {
	Step      string    `json:"step"`
	Steps     []string  `json:"steps"`
	Traveller string    `json:"traveller"`
	Trip      Trip      `json:"trip"`
	Price     int       `json:"price"`
	Note      string    `json:"note,omitempty"`
	Until     time.Time `json:"until"`
	Ticket    string    `json:"ticket,omitempty"`
}

// freely is the price up to which nobody has to approve.
const freely = 500

var errExpired = errors.New("the price was held for too long")

func main() {
	flawless.Workflow("booking", book, flawless.Doc("Asks for a trip step by step, has it approved, and books it."))
}

func book(ctx context.Context, in Input) (Page, error) {
	if in.Hold == 0 {
		in.Hold = 900
	}
	hold := time.Duration(in.Hold) * time.Second
	page := Page{Traveller: in.Traveller, Until: time.Now().Add(hold)}
	ctx, stop := context.WithTimeoutCause(ctx, hold, errExpired)
	defer stop()

	answers := flawless.Messages[Answer]("answer")
	decisions := flawless.Messages[Decision]("decide")

	err := page.fill(ctx, answers, 0)
	for err == nil && page.Price > freely {
		var d Decision
		if d, err = page.approval(ctx, answers, decisions); err != nil || d.Yes {
			break
		}
		if d.By != "" {
			page.Note = fmt.Sprintf("%s says no: %s", d.By, d.Why)
		}
		err = page.fill(ctx, answers, len(steps(page.Trip))-1)
	}
	switch {
	case errors.Is(err, errExpired):
		page.show("expired", "The price was held until now. Start again.")
		return page, nil
	case err != nil:
		return page, err
	}
	page.Ticket = fmt.Sprintf("%08d", rand.IntN(1e8)) // a real one would call the services that book
	page.show("booked", "")
	return page, nil
}

// approval waits for a decision. If the traveller goes back instead, it is a no of nobody.
func (p *Page) approval(ctx context.Context, answers <-chan Answer, decisions <-chan Decision) (Decision, error) {
	p.show("approval", "")
	for {
		select {
		case d := <-decisions:
			return d, nil
		case a := <-answers:
			if a.Step == "approval" && a.Back {
				return Decision{}, nil
			}
		case <-ctx.Done():
			return Decision{}, context.Cause(ctx)
		}
	}
}

// fill asks for all steps from number i on, and goes back and forth between them.
func (p *Page) fill(ctx context.Context, answers <-chan Answer, i int) error {
	for i < len(steps(p.Trip)) { // answers decide which steps there are
		step := steps(p.Trip)[i]
		p.show(step, p.Note)
		select {
		case a := <-answers:
			switch {
			case a.Step != step: // of a page that was not up to date
			case a.Back:
				p.Trip, p.Note = a.Trip, ""
				i = max(0, i-1)
			default:
				p.Trip, p.Note = a.Trip, missing(step, a.Trip)
				if p.Note == "" {
					i++
				}
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// steps returns the steps of a trip, which depend on what was entered.
func steps(t Trip) []string {
	s := []string{"trip"}
	switch t.By {
	case "train":
		s = append(s, "class")
	case "plane":
		s = append(s, "bags")
	}
	s = append(s, "nights")
	if t.Nights > 0 {
		s = append(s, "room")
	}
	return append(s, "review")
}

// missing says what a step still needs, or "".
func missing(step string, t Trip) string {
	switch {
	case step == "trip" && t.To == "":
		return "Where do you want to go?"
	case step == "trip" && t.By != "train" && t.By != "plane":
		return "Choose the train or the plane."
	case step == "class" && t.Class != 1 && t.Class != 2:
		return "Choose a class."
	case step == "bags" && (t.Bags < 0 || t.Bags > 3):
		return "Take at most 3 bags."
	case step == "nights" && (t.Nights < 0 || t.Nights > 30):
		return "Stay for at most 30 nights."
	case step == "room" && t.Room != "single" && t.Room != "suite":
		return "Choose a room."
	}
	return ""
}

// price returns what a trip costs.
func price(t Trip) int {
	cost := 0
	switch t.By {
	case "train":
		cost = 160 / max(t.Class, 1)
	case "plane":
		cost = 240 + 40*t.Bags
	}
	if t.Room == "suite" {
		return cost + 210*t.Nights
	}
	return cost + 90*t.Nights
}

// show publishes the page with a step and a note.
func (p *Page) show(step, note string) {
	p.Step, p.Steps, p.Price, p.Note = step, steps(p.Trip), price(p.Trip), note
	if err := flawless.SetData(p); err != nil {
		panic(err) // it is always JSON
	}
}
