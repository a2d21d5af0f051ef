package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func TestMoments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-03-01T06:00:00Z":      time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC),
		"2026-03-01T06:00:00+02:00": time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
		"2026-03-01 06:30":          time.Date(2026, 3, 1, 6, 30, 0, 0, time.Local),
	} {
		var f timeFlag
		if err := f.Set(text); err != nil || !time.Time(f).Equal(want) {
			t.Errorf("%s is %v, %v", text, time.Time(f), err)
		}
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "01.03.2026"} {
		if err := new(timeFlag).Set(text); err == nil {
			t.Errorf("%q is taken for a moment", text)
		}
	}
}

func TestAMomentHasItsZoneAndItsDay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 6, 30, 5, 7e6, time.Local)
	zone := at.Format("Z07:00")
	for want, today := range map[string]time.Time{
		"06:30:05" + zone:            at.Add(time.Hour),
		"2026-03-01 06:30:05" + zone: at.AddDate(0, 0, 1),
	} {
		got := clock(at, today, "15:04:05")
		if got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
		var f timeFlag
		if err := f.Set(got); got != "06:30:05"+zone && (err != nil || !time.Time(f).Equal(at.Truncate(time.Second))) {
			t.Errorf("given to a flag, %s is %v, %v", got, time.Time(f), err)
		}
	}
	var b strings.Builder
	p := newStory(&b)
	next := at.Add(20 * time.Hour)
	p.entry(flawless.Entry{At: at.UnixNano(), Attempt: &flawless.Attempt{Call: 2, N: 1, Result: "503", Next: next.UnixNano()}})
	if got := b.String(); !strings.HasPrefix(got, "2026-03-01, UTC"+strings.TrimPrefix(at.Format("-07:00"), "+00:00")+"\n06:30:05.007  ") || !strings.Contains(got, "next at 2026-03-02 02:30:05.007"+zone) {
		t.Errorf("the log has %s", got)
	}
}

// TestMomentsBecomeTextInOnePlace: anything else would leave out the zone, or the day.
func TestMomentsBecomeTextInOnePlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if name == "time.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "Format" || s.Sel.Name == "AppendFormat") {
				t.Errorf("%s: use ago or fine of time.go", set.Position(s.Pos()))
			}
			return true
		})
	}
}
