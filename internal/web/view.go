package web

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/admin"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

//go:embed page
var pageFiles embed.FS

// view is what a page shows.
type view struct {
	Title string
	Here  string // path of the entry of the side bar
	Bare  bool   // without side bar
	Data  any

	Base, Version, Host string
	Login               bool   // there is a login, so there is a logout
	Doubts              string // number in the side bar, or ""
}

// show writes a page.
func (v *visit) show(status int, name string, p *view) {
	b, err := v.render(name, p)
	if err != nil {
		v.Log.Error("a page of the console cannot be shown", "page", name, "error", err)
		http.Error(v.w, "internal error: the page cannot be shown. The log of the server has the details; please report this bug", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b)
}

// render returns the HTML of a page.
func (v *visit) render(name string, p *view) ([]byte, error) {
	p.Base, p.Version, p.Host, p.Login = v.base, flawless.Version, v.r.Host, v.keys != nil
	if !p.Bare {
		if s, err := v.stats(); err == nil && s.Unresolved != nil {
			p.Doubts = number(s.Unresolved.Runs)
		}
	}
	kept, _ := v.parsed.LoadOrStore(name, &sync.Pool{})
	t, _ := kept.(*sync.Pool).Get().(*page)
	if t == nil {
		var err error
		if t, err = parsePage(name); err != nil {
			return nil, err
		}
	}
	*t.of = *v
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	*t.of = visit{}
	kept.(*sync.Pool).Put(t)
	return reveal(b.Bytes()), nil
}

// page is the parsed template of a page. Parsing takes much longer than executing, so it is done once; of is the visit
// that it is executed for.
type page struct {
	*template.Template
	of *visit
}

func parsePage(name string) (*page, error) {
	of := &visit{}
	t, err := template.New("layout.html").Funcs(of.funcs()).ParseFS(pageFiles, "page/layout.html", "page/part.html", "page/part-form.html", "page/pairs.html", "page/"+name)
	return &page{t, of}, err
}

// hidden matches characters that change the order of others, or cannot be seen: a text with them looks like another one. The
// script has the same rule.
var hidden = regexp.MustCompile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

// reveal replaces hidden characters of a page: in texts, and in tooltips and labels, by their numbers in words, and in other
// attributes by references, because scripts and forms need these as they are.
func reveal(page []byte) []byte {
	var out bytes.Buffer
	done := 0
	for _, at := range hidden.FindAllIndex(page, -1) {
		out.Write(page[done:at[0]])
		c, _ := utf8.DecodeRune(page[at[0]:at[1]])
		before := page[:at[0]]
		form := "⟨U+%04X⟩"
		if open := bytes.LastIndexByte(before, '<'); open > bytes.LastIndexByte(before, '>') { // templates escape both in attributes
			if quote := bytes.LastIndexByte(before, '"'); quote < 0 || !bytes.HasSuffix(before[:quote], []byte(" title=")) && !bytes.HasSuffix(before[:quote], []byte(" aria-label=")) {
				form = "&#x%04X;"
			}
		}
		fmt.Fprintf(&out, form, c)
		done = at[1]
	}
	return append(out.Bytes(), page[done:]...)
}

// funcs returns what templates can call. They ask v for what differs from visit to visit.
func (v *visit) funcs() template.FuncMap {
	all := template.FuncMap{
		"icon": icon,
		"asset": func(name string) string {
			return v.base + "/static/" + name + "?v=" + v.assets[name].tag
		},
		"runURL": func(id string) string { return v.base + "/runs/" + url.PathEscape(id) },
		"word":   func(s flawless.Status) string { return words[s] },
		"ago":    func(t any) template.HTML { return moment(t, v.now()) },
		"at":     func(t any) template.HTML { return clockTime(t, "short", v.now()) },
		"nano":   func(ns int64) template.HTML { return clockTime(time.Unix(0, ns), "clock", v.now()) },
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"took":   func(r flawless.Run) string { return took(r, v.now()) },
		"span":   span,
		"says":   func(r flawless.Run) []piece { return explain(r, v.now()) },
		"number": number,
		"json":   pretty,
		"large":  large,
		"short":  shorten,
		"host":   bareURL,
		"lines":  func(text string) bool { return strings.ContainsRune(text, '\n') }, // an <input> has one line
		"list":   func(all ...any) []any { return all },
		"dict":   dict,
		"one": func(all []string) string { // what a form with one field shows of a parameter
			if len(all) == 0 {
				return ""
			}
			return all[0]
		},
		"sentence":  sentence,
		"counted":   count,
		"counted64": func(n int64, noun string) string { return count(int(n), noun) },
		"px":        func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 32) },
		"percent":   func(n, of int64) string { return fmt.Sprintf("%d %%", 100*n/max(1, of)) },
		"spans":     func() []string { return spans },
		"unkind":    func(reason string) string { return strings.TrimPrefix(reason, "error: ") }, // most failures are of this kind
		"stamp":     stamp,
		"hostOf":    hostOf,
		"less":      func(n int) int { return n - 1 },
		"more":      func(n int) int { return n + 1 },
		"resolveCommand": func(id string, call int) string {
			return form.Shell("flawless", "workflow", "resolve", id, "--call", strconv.Itoa(call), "--retry", "--note", "why")
		},
		"nav": func(p *view, path, icon, title string) map[string]any { // an entry of the side bar
			return map[string]any{"Base": p.Base, "Path": path, "Icon": icon, "Title": title, "On": p.Here == path}
		},
		"bool":         func(b bool) string { return strconv.FormatBool(b) },
		"sortedLabels": word.SortedLabels,
	}
	maps.Copy(all, admin.Funcs())
	return all
}

// maxWritten is the size of the largest value that is a part of a page, in bytes. Others are fetched when people ask for them.
const maxWritten = 64 << 10

// large returns a text that differs for different values if a value is too large for a page, and otherwise "".
func large(value json.RawMessage) string {
	if len(value) <= maxWritten {
		return ""
	}
	sum := fnv.New64a()
	_, _ = sum.Write(value)
	return strconv.FormatUint(sum.Sum64(), 36)
}

// dict makes what a template is called with, from names and values.
func dict(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return out
}

// words has the states in the words of the console.
var words = map[flawless.Status]string{flawless.Pending: "Pending", flawless.Running: "Running", flawless.Waiting: "Waiting", flawless.Paused: "Paused",
	flawless.Unresolved: "Needs a decision", flawless.Completed: "Completed", flawless.Failed: "Failed", flawless.Cancelled: "Cancelled", flawless.Terminated: "Terminated"}

// moment returns a relative time with the absolute one as its tooltip. The script keeps it up to date.
func moment(t any, now time.Time) template.HTML {
	at, ok := t.(time.Time)
	if p, is := t.(*time.Time); is && p != nil {
		at, ok = *p, true
	}
	if !ok || at.IsZero() {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s UTC">%s</time>`, at.UTC().Format(time.RFC3339Nano), at.UTC().Format("2006-01-02 15:04:05"), relative(at, now)))
}

// clockTime returns a moment itself, in one of the forms of when in dom.js: the script shows it in the zone of the visitor.
func clockTime(t any, form string, now time.Time) template.HTML {
	at, ok := t.(time.Time)
	if p, is := t.(*time.Time); is && p != nil {
		at, ok = *p, true
	}
	if !ok || at.IsZero() {
		return ""
	}
	layout := "15:04 UTC"
	switch away := now.Sub(at).Abs(); {
	case form == "clock":
		layout = "15:04:05.000"
	case away >= 12*time.Hour:
		layout = "2006-01-02 15:04 UTC"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-as="%s" title="%s UTC">%s</time>`, at.UTC().Format(time.RFC3339Nano), form, at.UTC().Format("2006-01-02 15:04:05"), at.UTC().Format(layout)))
}

// relative returns a time as people say it. The script has the same rules.
func relative(at, now time.Time) string {
	d := now.Sub(at)
	if d < 0 {
		return "in " + span(-d)
	}
	if d < time.Second {
		return "now"
	}
	return span(d) + " ago"
}

func took(r flawless.Run, now time.Time) string {
	if r.Ended == nil {
		return span(now.Sub(r.Created))
	}
	d := r.Ended.Sub(r.Created)
	if d >= time.Second && d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return span(d)
}

// piece is a part of a sentence: a text, code, or a time.
type piece struct {
	Text, Code string
	At         *time.Time
}

// explain says what a run waits for, or how it ended, in words, from what a list has of it.
func explain(r flawless.Run, now time.Time) []piece {
	plain := func(text string) []piece { return []piece{{Text: text}} }
	switch {
	case r.Problem != "":
		return plain("Quarantined: " + r.Problem)
	case r.Status == flawless.Unresolved && len(r.Unresolved) > 0:
		d := r.Unresolved[0]
		rest := ": " + d.Reason
		if n := len(r.Unresolved); n > 1 {
			rest += fmt.Sprintf(" (and %d more)", n-1)
		}
		return []piece{{Code: bareURL(cmp.Or(d.Request, fmt.Sprintf("call %d", d.Call)))}, {Text: rest}}
	case r.Failure != nil:
		return plain(bareURL(cmp.Or(r.Failure.Message, r.Failure.Kind)))
	case r.Status == flawless.Completed && len(r.Output) > 0:
		return []piece{{Text: "Returned "}, {Code: shorten(200, r.Output)}}
	case r.Status == flawless.Completed:
		return plain("Returned")
	case r.Status == flawless.Paused && r.Pause != nil:
		by := "Paused"
		if r.Pause.Hold {
			by = "Held back: its knowledge of the outside may be outdated"
		}
		if r.Pause.Who != "" {
			by += " by " + r.Pause.Who
		}
		if r.Pause.Note != "" {
			by += ": " + r.Pause.Note
		}
		return plain(by)
	case len(r.Retrying) > 0:
		c := r.Retrying[0]
		rest := []piece{{Text: "Retries "}, {Code: bareURL(c.Request)}, {Text: fmt.Sprintf(", attempt %d ", c.Attempts+1)}}
		if c.Next != nil {
			rest = append(rest, piece{Text: "at "}, piece{At: c.Next})
		} else {
			rest = append(rest, piece{Text: "is under way"})
		}
		return append(rest, piece{Text: ": " + c.Reason})
	case r.Waiting != nil:
		return waits(*r.Waiting)
	case r.Status == flawless.Pending:
		return plain("Waits until it may begin")
	case r.Status == flawless.Waiting:
		return plain("Waits for an answer or a message")
	case r.Status == flawless.Running && r.Computing != nil:
		return plain("Computes for " + span(now.Sub(*r.Computing)))
	case r.Status == flawless.Running:
		return plain("Computes")
	}
	return nil
}

// waits returns the sentence of a wait in pieces, so that its time follows the zone of the visitor, and names look like code.
func waits(w flawless.Wait) (out []piece) {
	const when = "\x00"
	clean := strings.NewReplacer(when, "�", "`", "'")
	w.Name, w.Site = clean.Replace(bareURL(w.Name)), clean.Replace(w.Site)
	site := w.Site
	text := w.Sentence(func(time.Time) string { return when })
	text = strings.ToUpper(text[:1]) + text[1:]
	if w.Name != "" && (w.Kind == flawless.WaitCall || w.Kind == flawless.WaitRetry || w.Kind == flawless.WaitPerson || w.Kind == flawless.WaitLimit || w.Kind == flawless.WaitChild) {
		text = strings.Replace(text, w.Name, "`"+w.Name+"`", 1)
	}
	if site != "" {
		if i := strings.LastIndex(text, " at "+site); i >= 0 {
			text = text[:i] + " at `" + site + "`" + text[i+len(" at "+site):]
		}
	}
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			out = append(out, piece{Code: part})
			continue
		}
		for j, words := range strings.Split(part, when) {
			if j > 0 {
				out = append(out, piece{At: w.Until})
			}
			if words != "" {
				out = append(out, piece{Text: words})
			}
		}
	}
	return out
}

func statusName(s any) string { return fmt.Sprint(s) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Short names for the words of all pages.
func span(d time.Duration) string { return word.Span(d) }
func number(n any) string         { return word.Number(n) }
func pretty(b []byte) string      { return word.Pretty(b) }
func shorten(n int, s any) string { return word.Shorten(n, s) }
func bareURL(s string) string     { return word.BareURL(s) }
func sentence(s string) string    { return word.Sentence(s) }
