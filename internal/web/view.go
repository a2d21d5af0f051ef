package web

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
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
	p.Base, p.Version, p.Host, p.Login = v.base, flawless.Version, v.r.Host, v.keys != nil
	if !p.Bare {
		if n, err := v.count(flawless.Filter{Status: []flawless.Status{flawless.Unresolved}}); err == nil && n.N > 0 {
			p.Doubts = n.String()
		}
	}
	t, err := template.New("layout.html").Funcs(v.funcs()).ParseFS(pageFiles, "page/layout.html", "page/part.html", "page/pairs.html", "page/"+name)
	var b bytes.Buffer
	if err == nil {
		err = t.Execute(&b, p)
	}
	if err != nil {
		v.Log.Error("a page of the console cannot be shown", "page", name, "error", err)
		http.Error(v.w, "internal error: the page cannot be shown. The log of the server has the details; please report this bug", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(hidden.ReplaceAllFunc(b.Bytes(), func(r []byte) []byte {
		c, _ := utf8.DecodeRune(r)
		return fmt.Appendf(nil, "⟨U+%04X⟩", c)
	}))
}

// hidden matches characters that change the order of others, or cannot be seen: a text with them looks like another one. The
// script has the same rule.
var hidden = regexp.MustCompile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

// funcs returns what templates can call.
func (v *visit) funcs() template.FuncMap {
	now := v.now()
	return template.FuncMap{
		"icon": icon,
		"asset": func(name string) string {
			return v.base + "/static/" + name + "?v=" + v.assets[name].tag
		},
		"runURL":   func(id string) string { return v.base + "/runs/" + url.PathEscape(id) },
		"word":     func(s flawless.Status) string { return words[s] },
		"ago":      func(t any) template.HTML { return moment(t, now) },
		"took":     func(r flawless.Run) string { return took(r, now) },
		"span":     span,
		"says":     func(r flawless.Run) says { return explain(r, now) },
		"number":   number,
		"sentence": sentence,
		"list":     func(all ...any) []any { return all },
		"dict":     dict,
		"json":     pretty,
		"short":    shorten,
		"host":     bareURL,
		"one": func(all []string) string { // what a form with one field shows of a parameter
			if len(all) == 0 {
				return ""
			}
			return all[0]
		},
		"bool":  func(b bool) string { return strconv.FormatBool(b) },
		"clock": func(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05.000") },
		"sortedLabels": func(l map[string]string) []label {
			return sortedLabels(l)
		},
	}
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

// span returns a duration with the precision that people need.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
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

// number returns a number with separators of thousands.
func number(n any) string {
	s := fmt.Sprint(n)
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// pretty returns JSON with line breaks, or the text itself if it is none.
func pretty(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return strings.ToValidUTF8(string(b), "�")
	}
	return out.String()
}

// shorten returns at most n bytes of a text, and whole characters.
func shorten(n int, s any) string {
	text := fmt.Sprint(s)
	if b, is := s.(json.RawMessage); is {
		text = string(b)
	}
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// bareURL returns a request without https://, which people do not need.
func bareURL(s string) string {
	return strings.Replace(strings.Replace(s, "https://", "", 1), "http://", "", 1)
}

// sentence returns an error message as a sentence.
func sentence(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[size:]
	if s != "" && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

type label struct{ Name, Value string }

func sortedLabels(l map[string]string) []label {
	var all []label
	for _, name := range sortedKeys(l) {
		all = append(all, label{name, l[name]})
	}
	return all
}

// says is what a run waits for, or how it ended, in words.
type says struct{ Text, Code, Rest string }

// explain says it from what a list has of a run. The page of a run says it more exactly, from the log.
//
// This is the one place for it: what lists will know in addition comes in here.
func explain(r flawless.Run, now time.Time) says {
	switch {
	case r.Problem != "":
		return says{Text: "Quarantined: " + r.Problem}
	case r.Status == flawless.Unresolved && len(r.Unresolved) > 0:
		d := r.Unresolved[0]
		s := says{Code: bareURL(cmp.Or(d.Request, fmt.Sprintf("call %d", d.Call))), Rest: ": " + d.Reason}
		if n := len(r.Unresolved); n > 1 {
			s.Rest += fmt.Sprintf(" (and %d more)", n-1)
		}
		return s
	case r.Failure != nil:
		return says{Text: bareURL(cmp.Or(r.Failure.Message, r.Failure.Kind))}
	case r.Status == flawless.Completed && len(r.Output) > 0:
		return says{Text: "Returned ", Code: shorten(200, r.Output)}
	case r.Status == flawless.Completed:
		return says{Text: "Returned"}
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
		return says{Text: by}
	case r.Status == flawless.Pending:
		return says{Text: "Waits until it may begin"}
	case len(r.Retrying) > 0:
		c := r.Retrying[0]
		next := "now"
		if c.Next != nil {
			next = relative(*c.Next, now)
		}
		return says{Text: "Retries ", Code: bareURL(c.Request), Rest: fmt.Sprintf(", attempt %d %s: %s", c.Attempts+1, next, c.Reason)}
	case r.Status == flawless.Waiting && r.Wake != nil:
		return says{Text: "Waits for its timer, " + relative(*r.Wake, now) + ", or an answer"}
	case r.Status == flawless.Waiting:
		return says{Text: "Waits for an answer or a message"}
	case r.Status == flawless.Running && r.Computing != nil:
		return says{Text: "Computes for " + span(now.Sub(*r.Computing))}
	case r.Status == flawless.Running:
		return says{Text: "Computes"}
	}
	return says{}
}
