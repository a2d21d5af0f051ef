package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func moduleRoutes() []Route {
	return []Route{
		{"GET /modules", modules},
		{"GET /modules/{name}", func(v *Visit) error { return v.showModule(http.StatusOK, nil) }},
		{"POST /modules/{name}", changeModule},
		{"GET /modules/{name}/source", source},
		{"GET /modules/{name}/start/{workflow}", startForm},
		{"POST /modules/{name}/start/{workflow}", startRun},
	}
}

// moduleRow is a module in the list.
type moduleRow struct {
	flawless.Module
	Language   string
	Open, All  int64
	NeedPerson int64
}

// modules lists the modules of the server.
func modules(v *Visit) error {
	all, err := v.Client.Modules(v.ctx())
	if err != nil {
		return err
	}
	counts, err := v.moduleStats()
	if err != nil {
		return err
	}
	var rows []moduleRow
	for _, m := range all {
		row := moduleRow{Module: m, Language: language(m.Manifest.SDK)}
		for s, n := range counts[m.Name].Runs {
			if row.All += n; !s.Ended() {
				row.Open += n
			}
			if s == flawless.Unresolved {
				row.NeedPerson = n
			}
		}
		rows = append(rows, row)
	}
	v.Show(http.StatusOK, "modules.html", Page{Title: "Modules", Here: "/modules", Data: map[string]any{"Modules": rows, "OpenQuery": openQuery}})
	return nil
}

// moduleStats returns the counts of runs by module.
func (v *Visit) moduleStats() (map[string]flawless.ModuleStats, error) {
	stats, err := v.Client.Stats(v.ctx())
	out := map[string]flawless.ModuleStats{}
	for _, m := range stats.Modules {
		out[m.Module] = m
	}
	return out, err
}

// openQuery is the query of the list for all runs that have not ended.
var openQuery = func() string {
	q := url.Values{}
	for _, s := range flawless.OpenStatuses {
		q.Add("status", string(s))
	}
	return q.Encode()
}()

// language says what a module is written in, from the name of its SDK.
func language(sdk string) string {
	name, version, _ := strings.Cut(sdk, "/")
	for short, long := range map[string]string{"go": "Go", "rust": "Rust", "ts": "TypeScript"} {
		if name == short {
			return strings.TrimSpace(long + " · SDK " + version)
		}
	}
	return cmp.Or(sdk, "unknown")
}

// versionRow is a version of a module on its page.
type versionRow struct {
	flawless.Module
	Open tally
}

// showModule shows the versions, workflows and settings of a module.
func (v *Visit) showModule(status int, problem error) error {
	name := v.R.PathValue("name")
	versions, err := v.Client.Module(v.ctx(), name)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return fmt.Errorf("there is no module %q: %w", name, flawless.NotFound)
	}
	open, more, err := v.upTo(flawless.Filter{Module: name, Status: flawless.OpenStatuses})
	if err != nil {
		return err
	}
	settings, err := v.Client.Settings(v.ctx(), name)
	if err != nil {
		return err
	}
	by := map[string]int{}
	for _, r := range open {
		by[r.Digest]++
	}
	var rows []versionRow
	behind := 0
	for i, m := range versions {
		rows = append(rows, versionRow{m, tally{N: by[m.Digest]}})
		if i > 0 {
			behind += by[m.Digest]
		}
	}
	counts, err := v.moduleStats()
	if err != nil {
		return err
	}
	all := int64(0)
	for status, n := range counts[name].Runs {
		if !status.Ended() {
			all += n
		}
	}
	newest := versions[0]
	d := map[string]any{"Name": name, "Newest": newest, "Language": language(newest.Manifest.SDK), "Versions": rows, "Open": all, "Looked": len(open), "More": more,
		"Behind": behind, "Settings": settingsForm(settings, v.R.PostForm), "OpenQuery": openQuery,
		"Commands": []string{form.Shell("flawless", "module", "set", name, "--retention", "90d", "--concurrency", "20")}}
	if problem != nil {
		d["Problem"] = word.Sentence(problem.Error())
	}
	v.Show(status, "module.html", Page{Title: name, Here: "/modules", Data: d})
	return nil
}

// settingsForm returns what the form of the settings shows: what was filled in, or what is set.
func settingsForm(s flawless.Settings, filled url.Values) map[string]string {
	if filled.Get("do") == "set" {
		return map[string]string{"retention": filled.Get("retention"), "concurrency": filled.Get("concurrency"), "keep": filled.Get("keep"), "retry": filled.Get("retry")}
	}
	out := map[string]string{"retention": "default", "concurrency": strconv.Itoa(s.Concurrency), "keep": strconv.Itoa(s.KeepTurns), "retry": "default"}
	switch keep, ends := s.Retention(); {
	case !ends:
		out["retention"] = "forever"
	case s.RetentionMS != 0:
		out["retention"] = form.Span(keep)
	}
	if s.RetryForMS != nil {
		out["retry"] = retryText(*s.RetryForMS)
	}
	return out
}

// retryText returns how long calls are retried, as the command line takes it.
func retryText(ms int64) string {
	if ms == 0 {
		return "none"
	}
	return form.Span(time.Duration(ms) * time.Millisecond)
}

// retryMS reads what [retryText] returns, or default.
func retryMS(text string) (ms int64, err error) {
	switch text {
	case "default", "":
		return -1, nil
	case "none", "0":
		return 0, nil
	}
	d, err := form.ParseSpan(text)
	return d.Milliseconds(), err
}

// changeModule changes the settings of a module, or removes one of its versions.
func changeModule(v *Visit) error {
	name, f := v.R.PathValue("name"), v.R.PostFormValue
	err := fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	switch f("do") {
	case "set":
		err = v.setModule(name)
	case "remove":
		n, _ := strconv.Atoi(f("version"))
		if n < 1 {
			return v.showModule(http.StatusBadRequest, fmt.Errorf("the form names no version"))
		}
		if _, err = v.Client.RemoveModule(v.ctx(), name, n); err == nil {
			if left, err := v.Client.Module(v.ctx(), name); err != nil || len(left) == 0 {
				http.Redirect(v.W, v.R, v.Base+"/modules", http.StatusSeeOther)
				return nil
			}
		}
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showModule(status, err) })
	}
	http.Redirect(v.W, v.R, v.Base+"/modules/"+url.PathEscape(name), http.StatusSeeOther)
	return nil
}

func (v *Visit) setModule(name string) (err error) {
	f := v.R.PostFormValue
	var change client.SettingsChange
	keep, retry := int64(0), int64(0)
	switch text := strings.TrimSpace(f("retention")); text {
	case "default", "":
	case "forever":
		keep = -1
	default:
		d, err := form.ParseSpan(text)
		if err != nil {
			return fmt.Errorf("how long ended runs are kept: %w, forever or default", err)
		}
		if keep = d.Milliseconds(); keep == 0 {
			return fmt.Errorf("ended runs are kept for some time: use a form such as 90d, forever or default")
		}
	}
	if retry, err = retryMS(strings.TrimSpace(f("retry"))); err != nil {
		return fmt.Errorf("how long calls are retried: %w, none or default", err)
	}
	change.RetentionMS, change.RetryForMS = &keep, &retry
	for _, n := range []struct {
		name, title string
		to          **int
	}{{"concurrency", "runs at once", &change.Concurrency}, {"keep", "turns to keep", &change.KeepTurns}} {
		i, err := strconv.Atoi(cmp.Or(strings.TrimSpace(f(n.name)), "0"))
		if err != nil {
			return fmt.Errorf("%s: %.50q is not a number", n.title, f(n.name))
		}
		*n.to = &i
	}
	_, err = v.Client.ChangeSettings(v.ctx(), name, change)
	return err
}

// source shows the source files in a version of a module.
func source(v *Visit) error {
	name, q := v.R.PathValue("name"), v.R.URL.Query()
	of := client.SourceOf{Digest: q.Get("digest")}
	of.Version, _ = strconv.Atoi(q.Get("version"))
	files, err := v.Client.Source(v.ctx(), name, of)
	if err != nil {
		return err
	}
	d := map[string]any{"Name": name, "Version": of.Version, "Digest": files.Digest, "Files": files.Files, "Query": url.Values{"digest": {files.Digest}}.Encode()}
	if of.File = q.Get("file"); of.File == "" && len(files.Files) > 0 {
		i := slices.IndexFunc(files.Files, func(f flawless.SourceFile) bool {
			return strings.HasSuffix(f.Name, "main.go") || strings.HasSuffix(f.Name, "lib.rs")
		})
		of.File = files.Files[max(i, 0)].Name
	}
	if of.File != "" {
		one, err := v.Client.Source(v.ctx(), name, of)
		if err != nil {
			return err
		}
		if len(one.Files) > 0 {
			d["File"], d["Lines"] = one.Files[0], strings.Split(strings.TrimSuffix(one.Files[0].Text, "\n"), "\n")
		}
	}
	v.Show(http.StatusOK, "source.html", Page{Title: "Source of " + name, Here: "/modules", Data: d})
	return nil
}
