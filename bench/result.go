package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// results are the measurements stored in a file. Measuring some sections leaves the others unchanged.
type results struct {
	Sections []*section `json:"sections"`
}

// section is a group of measurements, with the floors measured at the same time.
type section struct {
	Name    string    `json:"name"`
	When    time.Time `json:"when"`
	Machine string    `json:"machine"`
	Quick   bool      `json:"quick,omitempty"` // measured with small sizes, which prove nothing
	F       float64   `json:"f_us"`            // µs of a durable append
	H       float64   `json:"h_us"`            // µs of an HTTP POST over loopback
	P       float64   `json:"p_us,omitempty"`  // µs of an INSERT into PostgreSQL, 0 if there is none
	Stolen  float64   `json:"stolen_percent"`  // percentage of busy processor time stolen by other machines
	Figures []figure  `json:"figures"`
	Plots   []plot    `json:"plots,omitempty"`
}

// figure is one number: the median of its samples.
type figure struct {
	What    string    `json:"what"`
	Value   float64   `json:"value"`
	Unit    string    `json:"unit"`
	Goal    *goal     `json:"goal,omitempty"`
	Samples []float64 `json:"samples,omitempty"`
}

// goal is a limit for a figure, and an optional better target.
type goal struct {
	Limit   float64 `json:"limit"`
	Target  float64 `json:"target,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"` // the figure should be at least the limit, instead of at most
	Floors  bool    `json:"floors,omitempty"`   // Limit and Target are multiples of F + H
	// Postgres says that they are multiples of P + H instead.
	Postgres bool `json:"postgres,omitempty"`
}

// plot has one or more curves.
type plot struct {
	File  string `json:"file"` // file name without its folder
	Title string `json:"title"`
	X     string `json:"x"`
	Y     string `json:"y"`
	Lines []line `json:"lines"`
}

type line struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

// met reports whether a figure meets a limit.
func (s *section) met(f figure, limit float64) bool {
	if f.Goal.Floors {
		limit *= s.floor(f.Goal)
	}
	if f.Goal.AtLeast {
		return f.Value >= limit
	}
	return f.Value <= limit
}

// floor returns the sum of the floors to which a goal refers, in µs.
func (s *section) floor(g *goal) float64 {
	if g.Postgres {
		return s.P + s.H
	}
	return s.F + s.H
}

func readResults(file string) (*results, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &results{}, nil
	}
	r := &results{}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading results: %w", err)
	}
	return r, nil
}

// put adds or replaces a section.
func (r *results) put(s *section, order []string) {
	r.Sections = slices.DeleteFunc(r.Sections, func(o *section) bool { return o.Name == s.Name })
	r.Sections = append(r.Sections, s)
	slices.SortStableFunc(r.Sections, func(a, b *section) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
}

func (r *results) write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// median returns the median, or 0 for an empty list.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	of = slices.Clone(of)
	slices.Sort(of)
	return of[len(of)/2]
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }
func millis(d time.Duration) float64 { return float64(d) / 1e6 }
