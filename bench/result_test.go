package main

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func sample() *section {
	return &section{Name: "http", F: 100, H: 100, P: 300, Stolen: 12.4, Figures: []figure{
		{What: "chain", Value: 260, Unit: "µs", Goal: &goal{Limit: 1.6, Target: 1.2, Floors: true}},
		{What: "chain there", Value: 600, Unit: "µs", Goal: &goal{Limit: 1.4, Floors: true, Postgres: true}},
		{What: "rate", Value: 9000, Unit: "calls/s", Goal: &goal{Limit: 8000, Target: 15000, AtLeast: true}},
		{What: "best", Value: 5, Unit: "ms", Goal: &goal{Limit: 200, Target: 50}},
		{What: "late", Value: 500, Unit: "ms", Goal: &goal{Limit: 200, Target: 50}},
		{What: "size", Value: 4413, Unit: "bytes"},
	}, Plots: []plot{{"p.svg", "a < b", "x", "y", []line{{"l", [][2]float64{{1000, 12}, {1e6, 900}}}, {"none", nil}}}}}
}

func TestFiguresAreComparedWithGoals(t *testing.T) {
	t.Parallel()
	text := (&results{Sections: []*section{sample()}}).text("plots")
	for _, want := range []string{
		"| chain | 260 µs = 1.30 × (F + H) | ≤ 1.60 × (F + H) | ≤ 1.20 × (F + H) | met |",
		"F = 100 µs, H = 100 µs, P = 300 µs.",
		"| chain there | 600 µs = 1.50 × (P + H) | ≤ 1.40 × (P + H) |  | missed |",
		"| rate | 9,000 calls/s | ≥ 8,000 calls/s | ≥ 15,000 calls/s | met |",
		"Other machines took 12 % of the processors' time.",
		"| best | 5.00 ms | ≤ 200 ms | ≤ 50.0 ms | target met |",
		"| late | 500 ms | ≤ 200 ms | ≤ 50.0 ms | missed |",
		"| size | 4,413 bytes |",
		"![a < b](plots/p.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %s:\n%s", want, text)
		}
	}
}

func TestResultsAreMergedBySection(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "results.json")
	order := []string{"http", "freeze"}
	r, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	r.put(&section{Name: "freeze"}, order)
	r.put(sample(), order)
	r.put(&section{Name: "freeze", F: 7}, order)
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	if r, err = readResults(file); err != nil || len(r.Sections) != 2 || r.Sections[0].Name != "http" || r.Sections[1].F != 7 {
		t.Errorf("it reads %+v, %v", r.Sections, err)
	}
}

func TestPlotsAreValidXML(t *testing.T) {
	t.Parallel()
	for _, p := range append(sample().Plots, plot{}, plot{Lines: []line{{"one", [][2]float64{{0, 0.02}}}}}) {
		text := p.svg()
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("a number is none: %s", text)
		}
	}
}

func TestUnknownSectionsAreRefused(t *testing.T) {
	t.Parallel()
	b := &bench{}
	err := b.all(t.Context(), filepath.Join(t.TempDir(), "r.json"), "", "http,nothing", true)
	if err == nil || !strings.Contains(err.Error(), "nothing") || !strings.Contains(err.Error(), "freeze") {
		t.Errorf("a section that is none: %v", err)
	}
}
