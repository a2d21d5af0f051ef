package server

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// eventLines returns the lines of a stream of events that have one of these fields.
func eventLines(stream string, fields ...string) []string {
	var out []string
	for line := range strings.Lines(stream) {
		if field, _, _ := strings.Cut(line, ":"); slices.Contains(fields, field) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// TestDataIsFollowedFromWhereTheReaderWas checks that a new reader gets the newest data first, and one that comes back
// everything since, and nothing else of the run.
func TestDataIsFollowedFromWhereTheReaderWas(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	held, open := make(chan struct{}), make(chan struct{})
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(held)
		<-open
		_, _ = w.Write([]byte("answer"))
	}))
	t.Cleanup(outside.Close)
	id := o.started("script", fmt.Sprintf(`{"url":%q,"steps":[{"sleep":1,"data":1},{"sleep":1,"data":2},{"put":"/"},{"sleep":1,"data":3},{"sleep":1,"data":4}]}`, outside.URL))
	<-held
	resp, err := http.Get(o.url + "/api/v1/runs/" + id + "/data/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	var early strings.Builder
	for !strings.Contains(early.String(), "data: ") && lines.Scan() {
		early.WriteString(lines.Text() + "\n")
	}
	newest := eventLines(early.String(), "data")
	close(open)
	for lines.Scan() {
		early.WriteString(lines.Text() + "\n")
	}
	all := eventLines(early.String(), "data")
	if !slices.Equal(newest, []string{"data: 2"}) || len(all) != 4 || !slices.Equal(all[:3], []string{"data: 2", "data: 3", "data: 4"}) || !strings.Contains(all[3], `"status":"completed"`) {
		t.Errorf("the newest data is %q, in all there is %q", newest, all)
	}
	if kinds := eventLines(early.String(), "event"); !slices.Equal(kinds, []string{"event: data", "event: data", "event: data", "event: end"}) {
		t.Errorf("the stream has %q", kinds)
	}
	ids := eventLines(early.String(), "id")
	if len(ids) != 3 {
		t.Fatalf("the events have the ids %q", ids)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url+"/api/v1/runs/"+id+"/data/events", nil)
	req.Header.Set("Last-Event-ID", strings.TrimPrefix(ids[0], "id: "))
	again, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	back, err := io.ReadAll(again.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := eventLines(string(back), "data"); !slices.Equal(got, all[1:]) {
		t.Errorf("who had the first event gets %q", got)
	}
	if got := eventLines(o.do("GET", "/api/v1/runs/"+id+"/data/events", ""), "data"); !slices.Equal(got, all[2:]) {
		t.Errorf("who comes when the run has ended gets %q", got)
	}
}
