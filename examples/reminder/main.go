// Command reminder posts a message now and then, with days between.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Plan is the input.
type Plan struct {
	URL   string `json:"url" doc:"where each reminder is posted"`
	Text  string `json:"text"`
	Times int    `json:"times" doc:"how many reminders"`
	Hours int    `json:"hours,omitempty" doc:"between two of them; 72 if it is missing"`
}

// Done is the output, and the run's data until then.
type Done struct {
	Sent int        `json:"sent"`
	Last *time.Time `json:"last,omitempty"`
}

// Reminder is what is posted.
type Reminder struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

const maxHours = 24 * 365 * 100

func main() {
	flawless.Workflow("reminder", remind, flawless.Doc("Posts a reminder every few days."))
}

func remind(ctx context.Context, p Plan) (Done, error) {
	if p.Hours == 0 {
		p.Hours = 72
	}
	if p.Hours < 0 || p.Hours > maxHours {
		return Done{}, fmt.Errorf("%d hours between reminders; give 1 to %d", p.Hours, maxHours)
	}
	var done Done
	for n := 1; n <= p.Times; n++ {
		if n > 1 {
			slog.Info("next reminder", "in_hours", p.Hours)
			if err := flawless.Sleep(ctx, time.Duration(p.Hours)*time.Hour); err != nil {
				return done, err
			}
		}
		if _, err := flawless.PostJSON[any](ctx, p.URL, Reminder{n, p.Text}); err != nil {
			return done, fmt.Errorf("reminder %d: %w", n, err)
		}
		now := time.Now().UTC()
		done = Done{Sent: n, Last: &now}
		if err := flawless.SetData(done); err != nil {
			return done, err
		}
	}
	return done, nil
}
