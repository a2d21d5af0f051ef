package flawless

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// View is a saved question about runs, for all who use a server: a page and its query.
type View struct {
	Name  string `json:"name" cbor:"1,keyasint"`
	Page  string `json:"page" cbor:"2,keyasint"`            // what the query is for, such as runs
	Query string `json:"query" cbor:"3,keyasint,omitempty"` // as in a URL, without ?
}

// Limits of views.
const (
	MaxViews     = 200
	maxViewName  = 100  // bytes
	maxViewPage  = 50   // bytes
	maxViewQuery = 4000 // bytes
)

// Check returns nil if the view is valid, otherwise [Invalid] with the reason.
func (v View) Check() error {
	switch {
	case v.Name == "" || len(v.Name) > maxViewName || !utf8.ValidString(v.Name) || strings.ContainsFunc(v.Name, isControl):
		return fmt.Errorf("the name of a view has %d bytes; use 1 to %d, without control characters: %w", len(v.Name), maxViewName, Invalid)
	case v.Page == "" || len(v.Page) > maxViewPage || strings.Trim(v.Page, "abcdefghijklmnopqrstuvwxyz-") != "":
		return fmt.Errorf("the page of view %s is %.100q; use 1 to %d lower-case letters and dashes, such as runs: %w", v.Name, v.Page, maxViewPage, Invalid)
	case len(v.Query) > maxViewQuery || !utf8.ValidString(v.Query) || strings.ContainsFunc(v.Query, isControl):
		return fmt.Errorf("the query of view %s has %d bytes; use at most %d, without control characters: %w", v.Name, len(v.Query), maxViewQuery, Invalid)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
