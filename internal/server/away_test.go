package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// watched reads the events of a server for a reader that has everything up to last, until done says so, and returns the id
// that the reader has then. done gets the name of the event and the id of the run.
func (s *several) watched(i int, last string, done func(event, run string) bool) string {
	s.Helper()
	ctx, end := context.WithTimeout(s.Context(), 20*time.Second)
	defer end()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.all[i].web.URL+"/api/v1/events", nil)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	event, run := "", ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			last = value
		case "event":
			event = value
		case "data":
			var r struct{ ID string }
			_ = json.Unmarshal([]byte(value), &r)
			run = r.ID
		case "":
			if done(event, run) {
				return last
			}
			event, run = "", ""
		}
	}
	s.Fatal("the stream ended too early")
	return ""
}

// TestReaderThatWasAwayCatchesUp: a reader that comes back, to any server, with the id of the last event gets what has
// changed on all servers meanwhile, and a reset only if that is not known.
func TestReaderThatWasAwayCatchesUp(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 3)
	s.move(0, 2) // so that two servers have runs
	start := func(id string) { s.do(1, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, id)) }
	last := s.watched(1, "", func(event, _ string) bool {
		start("seen")
		return event == ""
	})
	last = s.watched(1, last, func(_, run string) bool { return run == "seen" })
	for i := range 5 {
		start(fmt.Sprint("missed-", i))
	}
	missing := 5
	last = s.watched(2, last, func(event, run string) bool {
		if strings.HasPrefix(run, "missed-") {
			missing--
		}
		if event == "reset" {
			t.Error("there is a reset although everything is known")
		}
		return missing == 0
	})
	start("then")
	s.watched(0, last, func(_, run string) bool { return run == "then" })
	one, _, _ := strings.Cut(last, ",")
	for _, unknown := range []string{"gone-7", last + ",gone-7", one, "no id"} {
		s.watched(1, unknown, func(event, _ string) bool { return event == "reset" })
	}
}

// TestReaderOfOneServerCatchesUp, and is told when the server was started again.
func TestReaderOfOneServerCatchesUp(t *testing.T) {
	t.Parallel()
	alone(t)
	s := newSeveral(t, 1)
	start := func(id string) { s.do(0, http.MethodPost, "/api/v1/runs", fmt.Sprintf(mailbox, id)) }
	last := s.watched(0, "", func(event, _ string) bool { return event == "" })
	start("missed")
	s.watched(0, last, func(event, run string) bool {
		if event == "reset" {
			t.Error("there is a reset although everything is known")
		}
		return run == "missed"
	})
	epoch, _, _ := strings.Cut(last, "-")
	for _, unknown := range []string{"before-7", epoch + "-1000000"} {
		s.watched(0, unknown, func(event, _ string) bool { return event == "reset" })
	}
}
