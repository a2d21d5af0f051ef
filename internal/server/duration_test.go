package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestDurationsHaveLimits: a duration or a time that cannot be meant is refused wherever the API takes one, and no other
// limit applies to a start than to a schedule.
func TestDurationsHaveLimits(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	open := o.started("obey", "null")
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	start := func(members string) string { return `{"module":"guest","workflow":"empty",` + members + `}` }
	plan := func(members string) string { return `{"cron":"@daily",` + start(members)[1:] }
	most := flawless.MaxDeadline
	const huge = "9223372036854775807"
	ms := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	for _, row := range []struct{ request, body, refused string }{ // "" is accepted
		{"POST /runs", start(`"deadline":"` + at(most) + `","grace":"87600h"`), ""},
		{"POST /runs", start(`"deadline":"` + at(-time.Hour) + `"`), ""}, // it is cancelled at once
		{"POST /runs", start(`"deadline":"` + at(most+25*time.Hour) + `"`), "within the next 10 years"},
		{"POST /runs", start(`"deadline":"9999-01-01T00:00:00Z"`), "within the next 10 years"},
		{"POST /runs", start(`"deadline":"0001-01-01T00:00:00Z"`), "the year 1"},
		{"POST /runs", start(`"deadline":"` + at(time.Hour) + `","grace":"87601h"`), "grace period is 87601h0m0s; use 1ms to 10 years"},
		{"POST /runs", start(`"deadline":"` + at(time.Hour) + `","grace":"-1s"`), "greater than zero"},
		{"POST /runs", start(`"deadline":"` + at(time.Hour) + `","grace":"0"`), "greater than zero"},
		{"POST /runs", start(`"deadline":"` + at(time.Hour) + `","grace":"9999999999h"`), `grace is "9999999999h"`},
		{"POST /runs", start(`"grace":"1m"`), "needs a deadline"},

		{"PUT /schedules/most", plan(`"deadline_ms":` + ms(most) + `,"grace_ms":` + ms(most) + `,"catch_up_ms":` + ms(most) + `,"jitter_ms":` + ms(flawless.MaxJitter)), ""},
		{"PUT /schedules/s", plan(`"deadline_ms":-1`), "deadline is -1 ms"},
		{"PUT /schedules/s", plan(`"deadline_ms":` + ms(most+time.Millisecond)), "to 10 years"},
		{"PUT /schedules/s", plan(`"deadline_ms":` + huge), "to 10 years"},
		{"PUT /schedules/s", plan(`"deadline_ms":1,"grace_ms":-1`), "grace period is -1 ms"},
		{"PUT /schedules/s", plan(`"deadline_ms":1,"grace_ms":` + huge), "to 10 years"},
		{"PUT /schedules/s", plan(`"grace_ms":1`), "needs a deadline"},
		{"PUT /schedules/s", plan(`"catch_up_ms":-1`), "catch-up"},
		{"PUT /schedules/s", plan(`"catch_up_ms":9999`), "catch-up"},
		{"PUT /schedules/s", plan(`"catch_up_ms":` + huge), "catch-up"},
		{"PUT /schedules/s", plan(`"jitter_ms":-1`), "jitter"},
		{"PUT /schedules/s", plan(`"jitter_ms":` + huge), "jitter"},

		{"POST /runs/" + open + "/cancel?deadline=" + at(most+25*time.Hour), `{}`, "within the next 10 years"},
		{"POST /runs/" + open + "/cancel?deadline=9999-01-01T00:00:00Z", `{}`, "within the next 10 years"},

		{"PATCH /modules/guest/settings", `{"retention_ms":-2}`, "retention"},
		{"PATCH /modules/guest/settings", `{"retention_ms":` + ms(flawless.MaxRetention+time.Millisecond) + `}`, "retention"},
		{"PATCH /modules/guest/settings", `{"retention_ms":` + huge + `}`, "retention"},
		{"PATCH /modules/guest/settings", `{"retry_for_ms":-2}`, "retry time"},
		{"PATCH /modules/guest/settings", `{"retry_for_ms":` + huge + `}`, "retry time"},
		{"PATCH /modules/guest/settings", `{"keep_turns":-1}`, "turns to keep"},
		{"PATCH /modules/guest/settings", `{"keep_turns":` + huge + `}`, "turns to keep"},
		{"PATCH /hosts/a.example", `{"key_within_ms":-2}`, "honours a key"},
		{"PATCH /hosts/a.example", `{"key_within_ms":` + huge + `}`, "honours a key"},
		{"PATCH /hosts/a.example", `{"retry_for_ms":` + ms(flawless.MaxRetryFor+time.Millisecond) + `}`, "retry time"},
		{"PATCH /hosts/a.example", `{"retry_for_ms":` + huge + `}`, "retry time"},
	} {
		method, path, _ := strings.Cut(row.request, " ")
		status, answer := o.send(method, "/api/v1"+path, "application/json", row.body)
		var p reply.Problem
		if err := json.Unmarshal([]byte(answer), &p); err != nil {
			t.Fatal(err)
		}
		switch {
		case row.refused == "" && status/100 != 2:
			t.Errorf("%s %s: status %d, %s", row.request, row.body, status, answer)
		case row.refused != "" && (status != 400 || p.Code != flawless.Invalid || !strings.Contains(p.Detail, row.refused)):
			t.Errorf("%s %s: status %d, %s, want %q", row.request, row.body, status, answer, row.refused)
		}
	}
}
