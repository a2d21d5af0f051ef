package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// Module prints the newest version of a module and lists the earlier ones.
func Module(w io.Writer, versions []flawless.Module, settings string) {
	m := versions[0]
	fmt.Fprintf(w, "module   %s\nversion  %d, added %s\ndigest   %s\nsize     %s\nsdk      %s\n", m.Name, m.Version, Time(m.Added), m.Digest, Size(m.Size), m.Manifest.SDK)
	fmt.Fprintf(w, "settings %s\n", settings)
	if m.Sources > 0 {
		fmt.Fprintf(w, "source   %s; see flawless module source %s\n", Count(m.Sources, "file"), m.Name)
	} else {
		fmt.Fprintln(w, "source   none in the module")
	}
	switch m.Initialised {
	case flawless.Once:
		fmt.Fprintln(w, "starts   fast: from an image that was initialised once")
	case flawless.PerRun:
		fmt.Fprintln(w, "starts   slowly: initialised for every run, because its random number generators were not found in the image")
	}
	for _, k := range m.Manifest.Keys {
		fmt.Fprintf(w, "keys     %s honours an Idempotency-Key for %s, unless flawless host set overrides it\n", k.Host, k.Within())
	}
	for _, f := range m.Manifest.Workflows {
		fmt.Fprintf(w, "\nworkflow %s\n", f.Name)
		if f.Doc != "" {
			fmt.Fprintf(w, "  %s\n", f.Doc)
		}
		for _, s := range []struct {
			of     string
			schema json.RawMessage
		}{{"input ", f.Input}, {"output", f.Output}} {
			if len(s.schema) > 0 {
				fmt.Fprintf(w, "  %s %s\n", s.of, s.schema)
			}
		}
	}
	if len(versions) > 1 {
		fmt.Fprintln(w)
		var rows [][]string
		for _, v := range versions[1:] {
			rows = append(rows, []string{fmt.Sprint(v.Version), Time(v.Added), Size(v.Size), fmt.Sprintf("%.12s", v.Digest)})
		}
		Table(w, "EARLIER\tADDED\tSIZE\tDIGEST", rows)
	}
}

// Settings formats the settings of a module in one line.
func Settings(s flawless.Settings) string {
	text := "ended runs are kept forever"
	if d, ends := s.Retention(); ends {
		text = "ended runs are kept for " + Duration(d)
	}
	if s.Concurrency > 0 {
		text += fmt.Sprintf(", at most %d runs in progress at once", s.Concurrency)
	}
	if s.RetryForMS != nil {
		text += ", retries of failed calls: " + Retries(s.RetryForMS)
	}
	if s.KeepTurns > 0 {
		text += fmt.Sprintf(", at least the last %d turns of each log are kept", s.KeepTurns)
	}
	return text
}

// Duration formats a duration as people write it: 1h30m, and 7d if it is a whole number of days.
func Duration(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 && d != 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
