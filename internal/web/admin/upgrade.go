package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func upgradeRoutes() []Route {
	return []Route{
		{"GET /modules/{name}/upgrade", upgradeForm},
		{"POST /modules/{name}/upgrade", upgrade},
	}
}

// upgradePage is about the open runs of a module that are on older versions than the newest.
type upgradePage struct {
	Name     string
	Newest   flawless.Module
	Older    []versionRow // those with open runs
	Behind   tally        // open runs on older versions
	From     int          // only runs of this version; 0 is all
	Problem  string
	Commands []string

	Report *flawless.ModuleUpgrade // nil before the check
	Causes []*split
	GoOn   []flawless.RunUpgrade // runs that go on, or were moved
	Odd    []flawless.RunUpgrade // runs that could not be checked or not be moved
	Marker template.HTML         // where the progress comes
}

// Looked returns the number of runs that were checked.
func (p *upgradePage) Looked() int { return p.Report.Looked() }

// MaxChosen is how many runs can be chosen one by one.
func (p *upgradePage) MaxChosen() int { return 200 }

// split has the runs that diverge in the same way.
type split struct {
	Call       int
	From       int // version
	Was, Would side
	Parts      []flawless.Mismatch // which differ
	Runs       []flawless.RunUpgrade
}

// Title says in words how the versions differ.
func (c *split) Title(version int) string {
	switch d := c.Runs[0].Divergence; {
	case d.Call == 0:
		return "The runs end differently"
	case d.Logged == nil:
		return fmt.Sprintf("Version %d makes call %d, which the log does not have", version, c.Call)
	case d.Asked == nil:
		return fmt.Sprintf("Version %d does not make call %d", version, c.Call)
	}
	return fmt.Sprintf("Version %d makes another call %d", version, c.Call)
}

// side is what one of two versions does.
type side struct {
	What, Site, Body string
	Lines            []sourceLine // around the call, if the version carries its source
}

type sourceLine struct {
	N    int
	Text string
	On   bool // the call is here
}

func (v *Visit) upgradePage() (*upgradePage, error) {
	p := &upgradePage{Name: v.R.PathValue("name")}
	versions, err := v.Client.Module(v.ctx(), p.Name)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("there is no module %q: %w", p.Name, flawless.NotFound)
	}
	p.Newest = versions[0]
	p.From, _ = strconv.Atoi(v.R.FormValue("from"))
	if to, _ := strconv.Atoi(v.R.FormValue("to")); to != 0 && to != p.Newest.Version {
		p.Problem = fmt.Sprintf("Runs move to the newest version, which is %d. To move them to version %d, add it again: it then is the newest.", p.Newest.Version, to)
	}
	open, more, err := v.upTo(flawless.Filter{Module: p.Name, Status: flawless.OpenStatuses})
	if err != nil {
		return nil, err
	}
	by := map[string]int{}
	for _, r := range open {
		by[r.Digest]++
	}
	p.Behind.More = more
	for _, m := range versions[1:] {
		if n := by[m.Digest]; n > 0 {
			p.Older = append(p.Older, versionRow{m, tally{n, more}})
			p.Behind.N += n
		}
	}
	words := []string{"flawless", "module", "upgrade", p.Name}
	if p.From != 0 {
		words = append(words, "--from", strconv.Itoa(p.From))
	}
	p.Commands = []string{form.Shell(append(words, "--dry-run")...), form.Shell(words...)}
	return p, nil
}

func (v *Visit) upgradeView(p *upgradePage) Page {
	return Page{Title: fmt.Sprintf("Upgrade %s to version %d", p.Name, p.Newest.Version), Here: "/modules", Data: p}
}

func upgradeForm(v *Visit) error {
	p, err := v.upgradePage()
	if err != nil {
		return err
	}
	v.Show(http.StatusOK, "upgrade.html", v.upgradeView(p))
	return nil
}

// marker is where the progress comes in the page. It is no text that a run could contain, because texts are escaped.
const marker = `<i id="progress-here"></i>`

// upgrade checks runs, or moves them. The progress is a part of the page, which the browser shows while it arrives; so it needs no
// script.
func upgrade(v *Visit) error {
	p, err := v.upgradePage()
	if err != nil {
		return err
	}
	o := client.Upgrade{From: p.From, Limit: 2000, Who: v.Who}
	title := "Checking"
	switch v.R.PostFormValue("do") {
	case "check":
		o.DryRun = true
	case "move":
		title, o.AllOrNothing = "Moving", v.R.PostFormValue("all") == "true"
	case "chosen":
		title, o.Runs, o.From = "Moving", v.R.PostForm["run"], 0
		if len(o.Runs) == 0 {
			p.Problem = "Choose the runs to move."
			v.Show(http.StatusBadRequest, "upgrade.html", v.upgradeView(p))
			return nil
		}
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	waits := *p
	waits.Marker = template.HTML(marker)
	page, err := v.Render("upgrade.html", v.upgradeView(&waits))
	if err != nil {
		return err
	}
	head, _, _ := bytes.Cut(page, []byte(marker))
	v.W.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.W.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(v.W)
	write := func(b []byte) {
		_, _ = v.W.Write(b)
		_ = out.Flush() // what cannot be flushed comes at the end
	}
	write(fmt.Appendf(slices.Clone(head), `<div class="panel pad doing" role="status"><p class="lead">%s…</p>`, title))
	last := 0
	o.Progress = func(stage string, done, all int) {
		if step := max(all/100, 1); done != all && done-last < step && done >= last {
			return
		}
		last = done
		write(fmt.Appendf(nil, `<p class="step"><progress aria-label="%s" max="%d" value="%d"></progress> %s: %s of %s runs</p>`,
			stageWords[stage], max(all, 1), done, cmp.Or(stageWords[stage], "Working"), word.Number(done), word.Number(all)))
	}
	report, err := v.Client.Upgrade(v.ctx(), p.Name, o)
	if err != nil {
		p.Problem = word.Sentence(err.Error())
	} else {
		v.explainUpgrade(p, &report)
	}
	p.Marker = template.HTML(marker)
	if page, err = v.Render("upgrade.html", v.upgradeView(p)); err != nil {
		return err
	}
	_, tail, _ := bytes.Cut(page, []byte(marker))
	write(append([]byte(`</div>`), tail...))
	return nil
}

// stageWords has the stages of an upgrade in words.
var stageWords = map[string]string{"checking": "Replayed", "holding": "Held", "moving": "Moved"}

// explainUpgrade puts a report into the page: causes, not runs.
func (v *Visit) explainUpgrade(p *upgradePage, report *flawless.ModuleUpgrade) {
	p.Report = report
	by := map[string]*split{}
	files := map[string][]string{}
	for _, r := range report.Runs {
		d := r.Divergence
		switch {
		case r.Verdict == flawless.Continues && (report.DryRun || r.Moved):
			p.GoOn = append(p.GoOn, r)
			continue
		case r.Verdict != flawless.Diverges || d == nil:
			p.Odd = append(p.Odd, r)
			continue
		}
		c := &split{Call: d.Call, From: r.FromVersion, Was: newSide(d.Logged, d.LoggedEnd, d.LoggedSite), Would: newSide(d.Asked, d.AskedEnd, d.AskedSite)}
		var fields []string
		if d.Logged != nil && d.Asked != nil {
			c.Parts = d.Logged.Mismatches(*d.Asked)
			for _, m := range c.Parts {
				fields = append(fields, m.Field)
			}
		}
		key := fmt.Sprintf("%s %s %s %q %s %s", r.From, c.Was.Site, c.Would.Site, fields, kindOf(d.Logged), kindOf(d.Asked))
		if have := by[key]; have != nil {
			have.Runs = append(have.Runs, r)
			continue
		}
		c.Runs = []flawless.RunUpgrade{r}
		by[key] = c
		p.Causes = append(p.Causes, c)
		if len(p.Causes) <= maxSplits {
			c.Was.Lines = v.around(files, p.Name, r.From, c.Was.Site)
			c.Would.Lines = v.around(files, p.Name, report.Digest, c.Would.Site)
		}
	}
	slices.SortStableFunc(p.Causes, func(a, b *split) int { return cmp.Compare(len(b.Runs), len(a.Runs)) })
}

// maxSplits is for how many of them source lines are read.
const maxSplits = 20

func kindOf(c *flawless.Call) string {
	if c == nil {
		return ""
	}
	return c.Kind
}

// newSide says what one side does: a call, an end, or nothing.
func newSide(c *flawless.Call, end *flawless.Ended, site string) side {
	s := side{Site: site}
	switch {
	case c != nil:
		s.What, s.Body = describeCall(c), word.Shorten(2000, string(c.Body))
	case end != nil && end.Failure != nil:
		s.What = "ends with the error " + word.Shorten(300, end.Failure.Message)
	case end != nil:
		s.What = "returns " + word.Shorten(300, string(end.Output))
	default:
		s.What = "makes no call here"
	}
	return s
}

// describeCall returns a call in words.
func describeCall(c *flawless.Call) string {
	var h struct{ Method, URL, Name, Module, Workflow, Run, To, Type, Op, Request string }
	_ = json.Unmarshal(c.Head, &h) // what is missing is left out
	switch c.Kind {
	case "http":
		return h.Method + " " + word.BareURL(h.URL)
	case "spawn":
		return "spawn " + h.Module + "/" + h.Workflow
	}
	return strings.Join(slices.DeleteFunc([]string{c.Kind, h.Op, h.Name, h.Type, h.Run, h.To}, func(s string) bool { return s == "" }), " ")
}

// around returns the source lines around a call, or nil if the version does not carry them.
func (v *Visit) around(files map[string][]string, module, digest, site string) (out []sourceLine) {
	file, line, ok := strings.Cut(site, ":")
	at, err := strconv.Atoi(line)
	if !ok || err != nil {
		return nil
	}
	key := digest + " " + file
	if _, had := files[key]; !had {
		files[key] = nil
		if src, err := v.Client.Source(v.ctx(), module, client.SourceOf{Digest: digest, File: file}); err == nil && len(src.Files) > 0 {
			files[key] = strings.Split(src.Files[0].Text, "\n")
		}
	}
	for n := max(at-4, 1); n <= min(at+4, len(files[key])); n++ {
		out = append(out, sourceLine{n, word.Shorten(300, files[key][n-1]), n == at})
	}
	return out
}
