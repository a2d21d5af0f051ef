package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
)

// forkRoutes adds the pages on which people try what would happen otherwise, and compare what did.
func (c *console) forkRoutes() {
	c.pages.HandleFunc("GET /runs/{id}/fork", c.page(func(v *visit) error { return v.showFork(http.StatusOK, map[string]any{}) }))
	c.pages.HandleFunc("POST /runs/{id}/fork", c.page(c.fork))
	c.pages.HandleFunc("GET /runs/{id}/diff", c.page(c.chooseDiff))
	c.pages.HandleFunc("GET /runs/{id}/diff/{other}", c.page(c.diff))
}

// forkForm is what the form has: the texts that somebody typed, so that they are not lost if something is wrong with them.
type forkForm struct{ Turn, Call, Status, Body, Version, ID string }

// showFork shows the form, with what d adds: a problem, or the result of an offline fork.
func (v *visit) showFork(status int, d map[string]any) error {
	id := v.r.PathValue("id")
	r, err := v.client.Run(v.ctx(), id, false)
	if err != nil {
		return err
	}
	f := forkForm{v.r.FormValue("turn"), v.r.FormValue("call"), v.r.FormValue("status"), v.r.FormValue("body"), v.r.FormValue("version"), v.r.FormValue("id")}
	if f.Turn == "" {
		f.Turn = "0"
	}
	if v.r.Method == http.MethodGet {
		if f.ID, err = v.freeFork(id); err != nil {
			return err
		}
		if call, err := strconv.Atoi(f.Call); err == nil {
			if f.Status, f.Body, err = v.answerOf(id, call); err != nil {
				return err
			}
		}
	}
	d["Run"], d["Form"], d["Command"] = r, f, f.command(r.ID)
	if d["Versions"], err = v.client.Module(v.ctx(), r.Module); err != nil {
		d["Versions"] = nil // the module was removed; its own code is still there
	}
	v.show(status, "fork.html", &view{Title: "What if: " + r.ID, Here: "/runs", Data: d})
	return nil
}

// maxForks is how many names of forks of a run are tried.
const maxForks = 1000

// forkName begins the ids of the forks that the form suggests. The page of a run lists its forks by it.
func forkName(id string) string { return id + "-fork-" }

// freeFork suggests an id for a fork.
func (v *visit) freeFork(id string) (string, error) {
	used := map[string]bool{}
	for r, err := range v.client.All(v.ctx(), flawless.Filter{Prefix: forkName(id), Limit: maxForks}) {
		if err != nil {
			return "", err
		}
		if used[r.ID] = true; len(used) == maxForks {
			return "", nil // the server makes one
		}
	}
	n := 1
	for used[forkName(id)+strconv.Itoa(n)] {
		n++
	}
	name := forkName(id) + strconv.Itoa(n)
	if flawless.CheckNewID(name) != nil {
		return "", nil
	}
	return name, nil
}

// answerOf returns the logged answer to a call, to be edited.
func (v *visit) answerOf(id string, call int) (status, text string, err error) {
	for rec, err := range v.client.WholeLog(v.ctx(), id) {
		if err != nil {
			return "", "", err
		}
		for _, e := range rec.Entries {
			if e.Arrival == nil || e.Arrival.Call != call {
				continue
			}
			var head struct {
				Status int `json:"status"`
			}
			if json.Unmarshal(e.Arrival.Head, &head) == nil && head.Status > 0 {
				status = strconv.Itoa(head.Status)
			}
			if !utf8.Valid(e.Arrival.Body) || len(e.Arrival.Body) > maxEdited {
				return status, "", nil
			}
			return status, pretty(e.Arrival.Body), nil
		}
	}
	return "", "", nil
}

// maxEdited is up to which size an answer is put into the form, in bytes.
const maxEdited = 256 << 10

// command returns the command that does what the form does.
func (f forkForm) command(id string) string {
	c := "flawless workflow fork " + form.Quote(id) + " --turn " + form.Quote(f.Turn)
	if f.Call != "" {
		c += " --answer " + form.Quote(f.Call+"=answer.json")
		if f.Status != "" {
			c += " --status " + form.Quote(f.Call+"="+f.Status)
		}
	}
	if f.Version != "" {
		c += " --version " + form.Quote(f.Version)
	}
	if f.ID != "" {
		c += " --id " + form.Quote(f.ID)
	}
	return c
}

// asked reads the form.
func (v *visit) asked() (o client.Fork, err error) {
	read := func(name string, to *int, least int) {
		text := v.r.PostFormValue(name)
		if text == "" || err != nil {
			return
		}
		if n, bad := strconv.Atoi(text); bad != nil || n < least {
			err = fmt.Errorf("%s is %.50q; use a number of at least %d", name, text, least)
		} else {
			*to = n
		}
	}
	var given client.GivenAnswer
	read("turn", &o.Turn, 0)
	read("version", &o.Version, 1)
	read("call", &given.Call, 1)
	read("status", &given.Status, 100)
	if given.Call > 0 {
		given.Body = flawless.Bytes(v.r.PostFormValue("body"))
		o.Answers = []client.GivenAnswer{given}
	}
	o.ID, o.Who = v.r.PostFormValue("id"), who
	return o, err
}

// fork starts a fork and leads to what differs, or shows what an offline fork does.
func (c *console) fork(v *visit) error {
	id := v.r.PathValue("id")
	o, err := v.asked()
	if err != nil {
		return v.showFork(http.StatusBadRequest, map[string]any{"Problem": sentence(err.Error())})
	}
	if v.r.PostFormValue("how") != "real" {
		out, err := v.client.Offline(v.ctx(), id, o)
		if err != nil {
			return v.showFork(http.StatusConflict, map[string]any{"Problem": sentence(err.Error())})
		}
		pairs, err := v.offlinePairs(id, o, out)
		if err != nil {
			return err
		}
		return v.showFork(http.StatusOK, map[string]any{"Offline": out, "Pairs": pairs})
	}
	r, err := v.client.Fork(v.ctx(), id, o)
	if err != nil {
		return v.showFork(http.StatusConflict, map[string]any{"Problem": sentence(err.Error())})
	}
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(id)+"/diff/"+url.PathEscape(r.ID), http.StatusSeeOther)
	return nil
}

// offlinePairs compares a run with what an offline fork of it does.
func (v *visit) offlinePairs(id string, o client.Fork, out flawless.Offline) ([]pair, error) {
	a, err := readCalls(v.client.WholeLog(v.ctx(), id))
	if err != nil {
		return nil, err
	}
	b := a.until(out.Turn)
	for _, g := range o.Answers {
		b.answers[g.Call] = fmt.Sprint(cmp.Or(g.Status, 200), " ", shorten(maxShown, string(g.Body)))
	}
	for _, t := range out.Turns {
		b.turn(t)
	}
	for call, text := range a.answers {
		if _, there := b.answers[call]; !there {
			b.answers[call] = text
		}
	}
	for _, call := range out.Would {
		b.add(out.Turn+len(out.Turns), call, "would be made now")
	}
	return compare(a, b), nil
}

// chooseDiff leads from the form to the comparison with the run that it names.
func (c *console) chooseDiff(v *visit) error {
	other := strings.TrimSpace(v.r.FormValue("with"))
	if other == "" {
		return fmt.Errorf("name the run to compare with: %w", flawless.Invalid)
	}
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(v.r.PathValue("id"))+"/diff/"+url.PathEscape(other), http.StatusSeeOther)
	return nil
}

// diff shows two runs side by side.
func (c *console) diff(v *visit) error {
	var runs [2]flawless.Run
	var logs [2]*calls
	for i, id := range []string{v.r.PathValue("id"), v.r.PathValue("other")} {
		var err error
		if runs[i], err = v.client.Run(v.ctx(), id, false); err != nil {
			return err
		}
		var log iter.Seq2[flawless.Record, error] = v.client.WholeLog(v.ctx(), id)
		if logs[i], err = readCalls(log); err != nil {
			return err
		}
	}
	first, err := v.client.Diff(v.ctx(), runs[0].ID, runs[1].ID)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "diff.html", &view{Title: runs[0].ID + " and " + runs[1].ID, Here: "/runs", Data: map[string]any{
		"A": runs[0], "B": runs[1], "First": first, "Pairs": compare(logs[0], logs[1]), "Command": "flawless workflow diff " + form.Quote(runs[0].ID) + " " + form.Quote(runs[1].ID)}})
	return nil
}
