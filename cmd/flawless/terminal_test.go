package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

// hostile has what a terminal obeys, or does not show: a colour, a title, a C1 sequence, an override and a mark of
// direction, DEL, a carriage return, a separator of lines and one of paragraphs, zero width, a filler, and a tag.
const hostile = "a\x1b[31m\x1b]0;title\x07\u009b2J\u202eb\x7f\rc\u200f\u2028\u2029\u200b\ufeff\u3164\U000e0041"

// fill sets every text in v to hostile text.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		switch v.Type() {
		case reflect.TypeFor[json.RawMessage]():
			text, _ := json.Marshal(hostile)
			v.SetBytes(text)
		case reflect.TypeFor[flawless.Bytes]():
			v.SetBytes([]byte(hostile))
		default:
			if v.Type().Elem().Kind() != reflect.Uint8 && v.Type().Elem() != reflect.PointerTo(v.Type().Elem()) && !recursive(v.Type().Elem()) {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				fill(v.Index(0))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one)
		v.SetMapIndex(reflect.ValueOf(hostile).Convert(v.Type().Key()), one)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func recursive(t reflect.Type) bool { return t == reflect.TypeFor[*flawless.Frame]() }

func filled[T any]() (v T) {
	fill(reflect.ValueOf(&v).Elem())
	return v
}

// entries returns one entry of each kind.
func entries() (out []flawless.Entry) {
	for i := range reflect.TypeFor[flawless.Entry]().NumField() {
		var e flawless.Entry
		fill(reflect.ValueOf(&e).Elem().Field(i))
		out = append(out, e)
	}
	return out
}

// answers is a server that answers with hostile text.
func answers(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		w.Header().Set("Content-Type", "text/event-stream")
		text, _ := json.Marshal(map[string]string{"detail": hostile, "code": "invalid"})
		fmt.Fprintf(w, "event: problem\ndata: %s\n\n", text)
		return
	}
	run := filled[flawless.Run]()
	for _, a := range []struct {
		path string
		v    any
	}{
		{`GET /health$`, filled[flawless.Health]()},
		{`GET /version$`, map[string]string{"version": hostile}},
		{`GET /runs$`, map[string]any{"runs": []flawless.Run{run}}},
		{`POST /runs$|/trigger$`, map[string]any{"run": run}},
		{`/fork$`, map[string]any{"run": run}},
		{`/log$`, []flawless.Record{{Entries: entries()}}},
		{`/data$`, hostile},
		{`GET /runs/[^/]+/messages$`, []flawless.Message{filled[flawless.Message]()}},
		{`POST /runs/[^/]+/messages$`, map[string]any{"id": hostile, "reply": hostile}},
		{`GET .*/promises$`, []flawless.Promise{filled[flawless.Promise]()}},
		{`/diff/`, filled[flawless.Difference]()},
		{`/inspect$`, filled[flawless.Inspection]()},
		{`/trace$`, filled[flawless.Trace]()},
		{`GET /schedules$`, []flawless.Schedule{filled[flawless.Schedule]()}},
		{`/schedules/`, filled[flawless.Schedule]()},
		{`GET /secrets$`, []flawless.Secret{filled[flawless.Secret]()}},
		{`GET /limits$`, []flawless.Limit{filled[flawless.Limit]()}},
		{`GET /nodes$`, []flawless.NodeStatus{filled[flawless.NodeStatus]()}},
		{`/nodes/`, filled[flawless.NodeStatus]()},
		{`GET /hosts$`, []flawless.Host{filled[flawless.Host]()}},
		{`/hosts/`, filled[flawless.Host]()},
		{`GET /states$`, map[string]any{"states": []flawless.State{filled[flawless.State]()}}},
		{`/states/`, filled[flawless.State]()},
		{`/settings$`, filled[flawless.Settings]()},
		{`GET /modules`, []flawless.Module{filled[flawless.Module]()}},
		{``, run},
	} {
		if regexp.MustCompile(a.path).MatchString(r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(a.v)
			return
		}
	}
}

func refuses(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"detail": hostile, "code": "invalid", "errors": []map[string]string{{"message": hostile, "field": hostile}}})
}

// TestCommandsEscapeHostileText runs every command against a server that answers with hostile text, and one that refuses
// everything with hostile text.
func TestCommandsEscapeHostileText(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_TOKEN", "")
	t.Setenv("FLAWLESS_WORKING_DIR", filepath.Join(t.TempDir(), "none"))
	if err := os.WriteFile("x", []byte(`"x"`), 0o600); err != nil {
		t.Fatal(err)
	}
	needs := map[string][]string{ // required flags
		"workflow resolve": {"--call", "1", "--retry"}, "workflow retry": {"--call", "1"}, "workflow fork": {"--turn", "1"}, "workflow export": {"--output", "-"},
		"schedule add": {"--cron", "@daily"}, "schedule backfill": {"--from", "2026-01-01", "--to", "2026-01-02"}, "host set": {"--retry-for", "1h"}, "secret set": {"--file", "x"},
	}
	for name, h := range map[string]http.HandlerFunc{"its answers": answers, "its refusals": refuses} {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		at := []string{"--tcp", "--socket", strings.TrimPrefix(server.URL, "http://")}
		shown := map[string]bool{}
		var walk func(c *cobra.Command, path []string)
		walk = func(c *cobra.Command, path []string) {
			for _, sub := range c.Commands() {
				walk(sub, append(slices.Clone(path), sub.Name()))
			}
			command := strings.Join(path, " ")
			if c.HasSubCommands() || command == "up" {
				return
			}
			for _, asJSON := range []bool{false, true} {
				for n := range 4 {
					args := slices.Concat(path, slices.Repeat([]string{"x"}, n), at, needs[command])
					if c.Flags().Lookup("yes") != nil {
						args = append(args, "--yes")
					}
					if asJSON {
						args = append(args, "--json")
					}
					var out bytes.Buffer
					ctx, stop := context.WithTimeout(t.Context(), 5*time.Second) // more than any command needs
					run(ctx, args, strings.NewReader("x"), &out, &out)
					if ctx.Err() != nil {
						t.Errorf("%q does not return", args)
					}
					stop()
					text := out.String()
					if i := strings.IndexFunc(text, render.IsControl); i >= 0 && command != "workflow export" || !utf8.ValidString(text) {
						t.Errorf("%s of %q prints %.300q", name, args, text[max(i, 0):])
					}
					if strings.Contains(text, `\u001b`) {
						shown[command] = true
					}
				}
			}
		}
		walk((&app{new(terminal.Terminal)}).root(), nil)
		for _, command := range []string{"workflow list", "workflow show", "workflow log", "workflow data", "workflow promise list", "module list", "schedule list", "secret list", "limit list", "host list", "state list", "version"} {
			if !shown[command] {
				t.Errorf("%s prints nothing of %s, only these do: %s", command, name, fmt.Sprint(slices.Sorted(maps.Keys(shown))))
			}
		}
	}
}
