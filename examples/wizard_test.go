package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/browsertest"
)

// process is one that is killed and started again with the same arguments.
type process struct {
	t    *testing.T
	args []string
	env  []string
	cmd  *exec.Cmd
	log  bytes.Buffer
	url  string // answers with 200 once the program is up
}

func newProcess(t *testing.T, url string, env []string, args ...string) *process {
	p := &process{t: t, url: url, env: env, args: args}
	t.Cleanup(p.kill)
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	tick, late := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		if resp, err := http.Get(p.url); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			p.kill()
			p.t.Fatalf("%s does not answer: %s", p.args[0], p.log.String())
		}
	}
}

// kill ends the program as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// freePort returns a port that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// compile builds a command of this repository.
func compile(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Dir = ".."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// wizard is the application, and the engine beside it.
type wizard struct {
	engine, app *process
	client      *client.Client
	url         string // of the application
}

const wizardToken = "a-token-that-no-browser-may-see"

func newWizard(t *testing.T, hold int) *wizard {
	t.Helper()
	dir, port, webPort := t.TempDir(), freePort(t), freePort(t)
	module := filepath.Join(dir, "booking.wasm")
	if err := os.WriteFile(module, build(t, "wizard/booking"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &wizard{url: "http://127.0.0.1:" + webPort}
	env := []string{"FLAWLESS_TOKEN=" + wizardToken, "FLAWLESS_URL=http://127.0.0.1:" + port}
	command := []string{compile(t, "./cmd/flawless"), "--socket", "127.0.0.1:" + port, "--port", port}
	w.engine = newProcess(t, "http://127.0.0.1:"+port+"/readyz", env, append(command, "--working-dir", filepath.Join(dir, "data"), "up")...)
	add := exec.Command(command[0], append(command[1:], "module", "add", "booking", module)...)
	add.Env = append(os.Environ(), env...)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("module add: %v: %s", err, out)
	}
	w.app = newProcess(t, w.url, env, compile(t, "./examples/wizard"), "-addr", "127.0.0.1:"+webPort, "-hold", strconv.Itoa(hold))
	n, _ := strconv.Atoi(port)
	c, err := client.New(client.Options{Socket: "127.0.0.1:" + port, Port: n, NoQUIC: true, Token: wizardToken})
	if err != nil {
		t.Fatal(err)
	}
	w.client = c
	t.Cleanup(func() { _ = c.Close() })
	return w
}

// begin presses the button of the first page, and returns the path of the booking.
func (w *wizard) begin(b *browsertest.Tab) string {
	b.Go(w.url)
	b.Until(`document.querySelector("button")`)
	b.Eval(`document.querySelector("button").click(); ""`)
	b.Until(`location.pathname.startsWith("/b/") && document.querySelector("[aria-current]")`)
	return b.Eval(`location.pathname`)
}

// step waits until the page shows a step and is up to date.
func step(b *browsertest.Tab, name string) {
	b.Until(fmt.Sprintf(`document.querySelector("[aria-current]")?.textContent === %q && document.body.ariaBusy !== "true"`, name))
}

// enter fills in fields of a step, and presses a button.
func enter(b *browsertest.Tab, button string, fields ...string) {
	for i := 0; i < len(fields); i += 2 {
		b.Eval(fmt.Sprintf(`document.querySelector("[name=%s]").value = %q`, fields[i], fields[i+1]))
	}
	b.Eval(fmt.Sprintf(`document.querySelector("#%s").click(); ""`, button))
}

// shown returns what the page says, without what differs between people and times.
func shown(b *browsertest.Tab) string {
	return b.Eval(`["#steps", "#note", "#price"].map((s) => document.querySelector(s).textContent).join("; ")`)
}

// TestWizardLosesNothing books a trip on a page that is reloaded, opened in a second browser, and cut off from an
// application and an engine that are killed.
func TestWizardLosesNothing(t *testing.T) {
	t.Parallel()
	ann, bob := browsertest.Open(t), browsertest.Open(t)
	w := newWizard(t, 900)
	path := w.begin(ann)

	enter(ann, "next", "by", "plane")
	ann.Until(`document.querySelector("#note").textContent === "Where do you want to go?"`)
	enter(ann, "next", "to", "Lisbon")
	step(ann, "bags")
	enter(ann, "next", "bags", "2")
	step(ann, "nights")
	enter(ann, "back")
	step(ann, "bags")
	enter(ann, "back")
	step(ann, "trip")
	if to := ann.Eval(`document.querySelector("[name=to]").value`); to != "Lisbon" {
		t.Errorf("back at the first step, the destination is %q", to)
	}
	enter(ann, "next", "by", "train") // another branch
	step(ann, "class")

	ann.Go(w.url + path) // as a reload does
	step(ann, "class")
	enter(ann, "next", "class", "1")
	step(ann, "nights")
	enter(ann, "next", "nights", "3")
	step(ann, "room")
	enter(ann, "next", "room", "suite")
	step(ann, "review")

	bob.Go(w.url + path + "/as/bob")
	step(bob, "review")
	before := shown(ann)
	if other := shown(bob); other != before || !strings.Contains(before, "790") {
		t.Errorf("one browser shows %q, the other one %q", before, other)
	}

	w.engine.kill()
	for _, b := range []*browsertest.Tab{ann, bob} {
		b.Until(`document.querySelector("#state").textContent === "lost"`)
		if now := shown(b); now != before {
			t.Errorf("without an engine the page shows %q, before it was %q", now, before)
		}
	}
	enter(ann, "next") // sent again until the engine is back
	ann.Until(`document.body.ariaBusy === "true"`)
	w.engine.start()
	ann.Until(`document.querySelector("#result").textContent.startsWith("Bob has to approve") && document.querySelector("#decide").hidden`)

	w.app.kill()
	bob.Until(`document.querySelector("#state").textContent === "lost"`)
	w.app.start()
	bob.Until(`document.querySelector("#state").textContent === "live" && !document.querySelector("#decide").hidden`)
	bob.Eval(`document.querySelector("#why").value = "a suite?"; document.querySelector("#no").click(); ""`)
	ann.Until(`document.querySelector("#note").textContent === "bob says no: a suite?"`)
	step(ann, "review")
	enter(ann, "next")
	bob.Until(`!document.querySelector("#decide").hidden`)
	bob.Eval(`document.querySelector("#yes").click(); ""`)
	for _, b := range []*browsertest.Tab{ann, bob} {
		b.Until(`document.querySelector("#result").textContent.startsWith("Booked.") && document.querySelector("#state").textContent === "ended"`)
	}
	if a, b := ann.Eval(`document.querySelector("#result").textContent`), bob.Eval(`document.querySelector("#result").textContent`); a != b {
		t.Errorf("one browser says %q, the other one %q", a, b)
	}

	sent := map[string]int{}
	for rec, err := range w.client.WholeLog(t.Context(), "booking-"+strings.TrimPrefix(path, "/b/")) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rec.Entries {
			if e.Message != nil {
				sent[e.Message.Type+" of "+e.Message.Who]++
			}
		}
	}
	if len(sent) != 2 || sent["answer of ann"] != 11 || sent["decide of bob"] != 2 {
		t.Errorf("the run got the messages %v", sent)
	}
	for _, b := range []*browsertest.Tab{ann, bob} {
		for _, text := range b.Problems() {
			if !strings.Contains(text, "Failed to load resource") { // while a program was away
				t.Errorf("the browser reports %s", text)
			}
		}
	}
}

// TestWizardGivesUpInTime lets the time limit pass, partly without an engine, and checks what a browser can reach.
func TestWizardGivesUpInTime(t *testing.T) {
	t.Parallel()
	b := browsertest.Open(t)
	w := newWizard(t, 6)
	path := w.begin(b)
	for _, row := range []struct {
		body   string
		status int
	}{
		{`{"type":"decide","value":{"yes":true},"key":"1"}`, http.StatusForbidden}, // this is Ann
		{`{"type":"other","value":1,"key":"2"}`, http.StatusForbidden},
		{`{"type":"answer","value":{"step":7},"key":"3"}`, http.StatusUnprocessableEntity},
		{`{"type":"answer","value":{"step":"old","trip":{"to":"Rome"}},"key":"4"}`, http.StatusNoContent},
	} {
		resp, err := http.Post(w.url+path+"/messages", "application/json", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != row.status {
			t.Errorf("%s: status %d, %s", row.body, resp.StatusCode, answer)
		}
	}
	if page := b.Eval(`fetch("/flawless.js").then((r) => r.text()).then((t) => document.documentElement.outerHTML + t)`); strings.Contains(page, wizardToken) {
		t.Error("the page has the token of the engine")
	}
	w.engine.kill()
	w.engine.start()
	b.Until(`document.querySelector("#note").textContent.startsWith("The price was held") && document.querySelector("#state").textContent === "ended"`)
	var page struct {
		Step string
		Trip struct{ To string }
	}
	data, err := w.client.Data(t.Context(), "booking-"+strings.TrimPrefix(path, "/b/"))
	if err == nil {
		err = json.Unmarshal(data, &page)
	}
	if err != nil || page.Step != "expired" || page.Trip.To != "" {
		t.Errorf("in the end the data is %s, %v", data, err)
	}
}
