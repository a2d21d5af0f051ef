package tsbuild_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/rehearsal"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/source"
	"github.com/flawless-engine/flawless/internal/tsbuild"
	"github.com/flawless-engine/flawless/internal/tsbuild/preludebuild"
)

// project writes files into a new folder. Without a package.json, it gets one.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	write := func(name, text string) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", `{"name":"shop"}`)
	for name, text := range files {
		write(name, text)
	}
	return dir
}

func build(t *testing.T, code string) tsbuild.Built {
	t.Helper()
	b, err := tsbuild.Build(t.Context(), project(t, map[string]string{"shop.ts": code}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runtime is shared: it compiles the engine once.
var runtime = sync.OnceValues(func() (*guest.Runtime, error) {
	dir, err := os.MkdirTemp("", "tsbuild")
	if err != nil {
		return nil, err
	}
	return guest.NewRuntime(context.Background(), guest.Options{CacheDir: dir})
})

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"method": r.Method, "path": r.URL.Path, "body": string(body), "type": r.Header.Get("Content-Type")})
}

func options(t *testing.T, bin []byte, workflow, input string) rehearsal.Options {
	t.Helper()
	rt, err := runtime()
	if err != nil {
		t.Fatal(err)
	}
	return rehearsal.Options{Guest: rt, Binary: bin, Workflow: workflow, Input: []byte(input), Outside: http.HandlerFunc(echo), File: "shop"}
}

// TestWorkflows runs workflows to their ends, with virtual time, and compares how they end.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	bin := build(t, workflows).Module
	for name, want := range map[string]string{
		"hello":    `completed "Hello, Ann!"`,
		"race":     `completed "quick"`,
		"post":     `completed {"status":200,"ok":true,"got":{"body":"{\"n\":1}","method":"POST","path":"/charges","type":"application/json"}}`,
		"children": `completed {"twice":42,"wrong":"ChildError failed error: RangeError: negative"}`,
		"messages": `completed [{"n":1},{"n":2}]`,
		"counter":  `completed {"n":3}`,
		"expired":  `completed "CallError expired"`,
		"trip":     `failed error: Error: full | took flight, took hotel, undid hotel, undid flight`,
		"throws":   "failed error: RangeError: no such order\n    at charge (shop.ts:48)\n    at <anonymous> (shop.ts:50)",
		"rejects":  `failed error: Error: nobody catches this`,
		"stuck":    "failed stuck: the run waits for nothing: no call, timer or message can ever wake it\nawaits a promise that nothing can settle any more\n    stuck  shop.ts:59\nawaits a promise that nothing can settle any more\n    never  shop.ts:56",
		"nested":   `completed ["RangeError","ok"]`,
		"deep":     `completed "RangeError"`,
		"bigint":   `failed error: TypeError: the output cannot be written as JSON: a.1.b is a bigint; use a string or a number`,
		"map":      `failed error: TypeError: the output cannot be written as JSON: it is a Map`,
		"circle":   `failed error: TypeError: the output cannot be written as JSON: self is part of itself`,
		"class":    `failed error: TypeError: the output cannot be written as JSON: order is an instance of Order, of which JSON would write the fields alone; give the class toJSON(), or make a plain object`,
		"dated":    `completed {"order":{"id":7},"plain":{"n":1},"when":"1970-01-01T00:00:00.000Z"}`,
		"large":    `completed ["CallError too_large","CallError too_large","TypeError"]`,
		"late":     "failed error: RangeError: it rang too late\n    at <anonymous> (shop.ts:",
		"forever":  `completed "quick"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := rehearsal.Run(t.Context(), options(t, bin, name, `{"name":"Ann"}`))
			if err != nil {
				t.Fatal(err)
			}
			got := string(r.Run.Status) + " " + string(r.Run.Output)
			if f := r.Run.Failure; f != nil {
				got = fmt.Sprintf("%s %s: %s\n%s", r.Run.Status, f.Kind, f.Message, f.Stack)
			}
			want, data, _ := strings.Cut(want, " | ")
			if !strings.HasPrefix(got, want) {
				t.Errorf("it ended with\n%s\nwant\n%s", got, want)
			}
			if data != "" && string(r.Data) != fmt.Sprintf("%q", data) {
				t.Errorf("its data is %s, want %q", r.Data, data)
			}
		})
	}
}

const workflows = `import { awaitRun, fresh, promise, receive, runID, saga, send, setData, sleep, spawn, state, workflow } from "flawless"

workflow("hello", async (p: { name: string }) => {
  await sleep("1h")
  return "Hello, " + p.name + "!"
})
workflow("race", () => Promise.race([sleep("1m").then(() => "quick"), sleep("14d").then(() => "slow")]))
workflow("post", async () => {
  const r = await fetch("https://pay.example/charges", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ n: 1 }) })
  return { status: r.status, ok: r.ok, got: await r.json() }
})
workflow("twice", async (n: number) => {
  if (n < 0) throw new RangeError("negative")
  await sleep(50)
  return 2 * n
})
workflow("children", async () => {
  const good = spawn<number>("twice", 21), bad = spawn<number>("twice", -1)
  const wrong = await bad.wait().catch((e) => e.name + " " + e.status + " " + e.kind + ": " + e.message.replace(/^.*failed: /, ""))
  return { twice: await good, wrong }
})
workflow("messages", async () => {
  await send(runID(), "note", { n: 1 })
  await send(runID(), "note", { n: 2 })
  return [await receive("note"), await receive("note")]
})
workflow("counter", async () => {
  const c = state<{ n: number }>("counter")
  await Promise.all([1, 2, 3].map(() => c.update(async (v) => { await sleep(10); return { n: (v?.n ?? 0) + 1 } })))
  return c.get()
})
workflow("expired", async () => {
  try {
    return await promise("approve", { expires: "2d" })
  } catch (e: any) {
    return e.name + " " + e.kind
  }
})
workflow("trip", () => {
  const did: string[] = []
  const note = (what: string) => { did.push(what); setData(did.join(", ")) }
  return saga(async (s) => {
    await s.step("flight", async () => { note("took flight") }, async () => { await sleep("1s"); note("undid flight") })
    await s.step("hotel", async () => { note("took hotel"); await sleep("1s"); throw new Error("full") }, async () => { note("undid hotel") })
  })
})
function charge(): never {
  throw new RangeError("no such order")
}
workflow("throws", async () => charge())
workflow("rejects", async () => {
  void Promise.reject(new Error("nobody catches this"))
  await sleep("1h")
})
async function never() {
  await new Promise(() => {})
}
workflow("stuck", async function stuck() {
  await never()
})
workflow("nested", async () => [200_000, 3000].map((n) => {
  try {
    JSON.parse("[".repeat(n) + "]".repeat(n))
    return "ok"
  } catch (e: any) {
    return e.name
  }
}))
workflow("deep", async () => {
  const f = (n: number): number => 1 + f(n + 1)
  try {
    return f(0)
  } catch (e: any) {
    return e.name
  }
})
workflow("bigint", async () => ({ a: [1, { b: 10n }] }))
workflow("map", async () => new Map([[1, 2]]))
class Order {
  constructor(readonly id: number) {}
  total() { return this.id }
}
class Dated extends Order {
  toJSON() { return { id: this.id } }
}
class Plain { n = 1 }
workflow("class", async () => ({ order: new Order(7) }))
workflow("dated", async () => ({ order: new Dated(7), plain: new Plain(), when: new Date(0) }))
workflow("large", async () => {
  const text = "x".repeat((64 << 20) + 1)
  const out = []
  for (const f of [() => setData(text), () => send(runID(), "x", text), () => setData({ f() {} })])
    try {
      await f()
    } catch (e: any) {
      out.push(e.name + (e.kind ? " " + e.kind : ""))
    }
  return out
})
workflow("late", async () => {
  setTimeout(() => { throw new RangeError("it rang too late") }, 1000)
  await sleep("1d")
})
workflow("forever", async () => {
  setTimeout(() => {}, Infinity)
  return Promise.race([sleep(Number.MAX_VALUE), sleep("1s").then(() => "quick")])
})
workflow("circle", async () => {
  const a: any = {}
  a.self = a
  return a
})
`

// TestCrashEverywhere kills the engine before and after each write of a workflow that does a little of everything.
func TestCrashEverywhere(t *testing.T) {
	t.Parallel()
	bin := build(t, `import { receive, runID, saga, send, sleep, state, workflow } from "flawless"
workflow("shop", async (order: { id: string }) => saga(async (s) => {
  const paid = await s.step("pay", async () => (await fetch("https://pay.example/charges", { method: "POST", body: order.id })).json(), () => fetch("https://pay.example/refunds", { method: "POST" }))
  await state<number>("sold").update((n) => (n ?? 0) + 1)
  await send(runID(), "packed", { by: Math.random() < 2 ? "Ann" : "" })
  const first = await Promise.race([receive<{ by: string }>("packed"), sleep("1h").then(() => undefined)])
  await sleep("1d")
  if (order.id === "bad") throw new Error("no such order")
  return { paid: paid.body, by: first?.by, at: new Date().toISOString() }
}))`).Module
	for _, input := range []string{`{"id":"o-1"}`, `{"id":"bad"}`} {
		report, err := rehearsal.CrashEverywhere(t.Context(), options(t, bin, "shop", input), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Faults {
			t.Errorf("%s: %s", input, f)
		}
		if report.Crashes < 20 {
			t.Errorf("%s: only %d crashes", input, report.Crashes)
		}
		if want := map[string]int{`{"id":"o-1"}`: 1, `{"id":"bad"}`: 2}[input]; len(report.Result.Requests) != want {
			t.Errorf("%s: %d requests, want %d", input, len(report.Result.Requests), want)
		}
	}
}

// TestBadProjects: what is wrong is said with the file and line, and what to do.
func TestBadProjects(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no entry":          {map[string]string{"lib/a.ts": ""}, []string{"there is no file with workflows", `"source" in package.json`, "shop.ts"}},
		"broken manifest":   {map[string]string{"package.json": "{", "shop.ts": ""}, []string{"package.json is not valid JSON"}},
		"syntax error":      {map[string]string{"shop.ts": "let a = 1\nlet b = {{"}, []string{"shop.ts:2:10", "Expected identifier"}},
		"missing package":   {map[string]string{"shop.ts": `import "left-pad"`}, []string{`Could not resolve "left-pad"`, "shop.ts:1:8", "npm install"}},
		"missing file":      {map[string]string{"shop.ts": `import "./pay"`}, []string{`Could not resolve "./pay"`, "shop.ts:1:8"}},
		"files":             {map[string]string{"shop.ts": "import fs from 'node:fs'\nfs"}, []string{"node:fs", "shop.ts:1:", "guests have no files"}},
		"sockets":           {map[string]string{"shop.ts": "import net from 'net'\nnet"}, []string{"net", "shop.ts:1:", "guests have no sockets"}},
		"native code":       {map[string]string{"shop.ts": "import x from './x.node'\nx", "x.node": "\x7fELF"}, []string{"x.node", "native code", "shop.ts:1:"}},
		"top-level await":   {map[string]string{"shop.ts": "export const a = await Promise.resolve(1)"}, []string{"shop.ts:1:", "await"}},
		"a package's files": {map[string]string{"shop.ts": "import 'p'", "node_modules/p/index.js": "require('child_process')", "node_modules/p/package.json": `{"name":"p","main":"index.js"}`}, []string{"node_modules/p/index.js:1", "child_process", "guests have no processes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tsbuild.Build(t.Context(), project(t, row.files))
			if err == nil || !errors.Is(err, flawless.Invalid) {
				t.Fatalf("error %v, want one that is Invalid", err)
			}
			for _, text := range row.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error lacks %q:\n%v", text, err)
				}
			}
		})
	}
}

func TestLargeBundleIsRefused(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"shop.ts": `import { text } from "./text"; export default text`, "text.ts": "export const text = " + fmt.Sprintf("%q", strings.Repeat("x", 21<<20))})
	if _, err := tsbuild.Build(t.Context(), dir); !errors.Is(err, flawless.TooLarge) || !strings.Contains(err.Error(), "20 MiB") {
		t.Errorf("error %v", err)
	}
}

// TestModuleHasSources: the project's own files, under the names that stacks and call sites have, and no package.
func TestModuleHasSources(t *testing.T) {
	t.Parallel()
	b, err := tsbuild.Build(t.Context(), project(t, map[string]string{
		"package.json": `{"name":"@acme/shop","source":"src/orders.ts"}`, "src/orders.ts": `import "../lib/pay"; import "p"`, "lib/pay.ts": "export const pay = 1",
		"node_modules/p/index.js": "globalThis.p = 1", "node_modules/p/package.json": `{"name":"p"}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "shop" {
		t.Errorf("its name is %q", b.Name)
	}
	bin, left, err := source.Add(b.Module, b.Sources)
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	var names []string
	for _, f := range source.Read(bin) {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "lib/pay.ts src/orders.ts" {
		t.Errorf("the module has the sources %q", got)
	}
}

// TestPreludeIsCurrent checks that prelude.js was made of the sources.
func TestPreludeIsCurrent(t *testing.T) {
	t.Parallel()
	installed(t, filepath.Join("..", "..", "sdk", "ts"))
	want, err := preludebuild.Build("../../sdk/ts")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("prelude.js")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("prelude.js is not what sdk/ts/prelude gives: run go generate ./internal/tsbuild")
	}
}

// TestSleepIsVirtual: a run of a year takes a moment.
func TestSleepIsVirtual(t *testing.T) {
	t.Parallel()
	bin := build(t, `import { sleep, workflow } from "flawless"
workflow("shop", async () => { for (let k = 0; k < 365; k++) await sleep("1d") })`).Module
	r, err := rehearsal.Run(t.Context(), options(t, bin, "shop", "null"))
	if err != nil || r.Virtual != 365*24*time.Hour {
		t.Errorf("%v of virtual time, %v", r.Virtual, err)
	}
}

// TestDocsBuild builds the examples of the guide page.
func TestDocsBuild(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/guide/typescript.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```ts\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Fatalf("the page has %d examples", len(blocks))
	}
	for _, b := range blocks {
		rt, err := runtime()
		if err != nil {
			t.Fatal(err)
		}
		m, err := rt.Load(t.Context(), build(t, string(b[1])).Module, nil)
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
			continue
		}
		if n := len(m.Manifest().Workflows); n != 1 {
			t.Errorf("it has %d workflows:\n%s", n, b[1])
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestTurnLimitEndsEndlessCode: the engine of JavaScript is metered as other code is, in its loops and in regular
// expressions.
func TestTurnLimitEndsEndlessCode(t *testing.T) {
	t.Parallel()
	rt, err := guest.NewRuntime(t.Context(), guest.Options{TurnUnits: 2e9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	bin := build(t, `import { workflow } from "flawless"
workflow("loop", async () => { for (;;); })
workflow("expression", async () => /^(a|b|ab)*c$/.test("ab".repeat(20_000)))
workflow("honest", async () => { let n = 0; for (let k = 0; k < 1_000_000; k++) n += k; return n })`).Module
	for workflow, want := range map[string]string{"loop": "limit", "expression": "limit", "honest": ""} {
		o := options(t, bin, workflow, "null")
		o.Guest = rt
		r, err := rehearsal.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r.Run.Failure != nil {
			got = r.Run.Failure.Kind
		}
		if got != want {
			t.Errorf("%s ended with %+v", workflow, r.Run.Failure)
		}
	}
}

// TestOtherCodeIsCompared replays a log with changed code: a harmless edit passes, and one that asks for something else is
// reported with lines of TypeScript on both sides.
func TestOtherCodeIsCompared(t *testing.T) {
	t.Parallel()
	const code = `import { sleep, workflow } from "flawless"
workflow("shop", async () => {
  await fetch("https://pay.example/charges", { method: "POST", body: "1" })
  await sleep("1d")
  await fetch("https://mail.example/receipts", { method: "POST", body: "2" })
})
`
	r, err := rehearsal.Run(t.Context(), options(t, build(t, code).Module, "shop", "null"))
	if err != nil || len(r.Requests) != 2 {
		t.Fatal(r.Requests, err)
	}
	rt, err := runtime()
	if err != nil {
		t.Fatal(err)
	}
	compare := func(code string) *flawless.Divergence {
		t.Helper()
		m, err := rt.Load(t.Context(), build(t, code).Module, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		got, err := replay.Run(t.Context(), m, r.Run.ID, replay.Records(r.Log), replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Divergence
	}
	if d := compare(strings.Replace(code, "workflow(\"shop\"", "const greeting = \"hello\"\nconsole.log(greeting)\n\nworkflow(\"shop\"", 1)); d != nil {
		t.Errorf("a harmless edit diverges: %v", d)
	}
	d := compare(strings.Replace(code, "mail.example/receipts", "mail.example/invoices", 1))
	if d == nil || d.Logged == nil || d.Asked == nil {
		t.Fatalf("a harmful edit diverges with %+v", d)
	}
	if d.Logged.Innermost() != "shop.ts:5" || d.Asked.Innermost() != "shop.ts:5" {
		t.Errorf("it diverges at %s, logged at %s", d.Asked.Innermost(), d.Logged.Innermost())
	}
}

// TestReplayGivesTheSameBits runs a workflow with randomness, timers and garbage again from its log, also from a frozen guest.
func TestReplayGivesTheSameBits(t *testing.T) {
	t.Parallel()
	bin := build(t, `import { sleep, workflow } from "flawless"
workflow("shop", async () => {
  const all: unknown[] = []
  for (let k = 0; k < 30; k++) {
    all.push({ at: Date.now(), r: Math.random(), u: new Map([[k, "x".repeat(k)]]) })
    if (k % 7 === 0) all.length = 0
    await sleep(k)
  }
  return all.length
})`).Module
	r, err := rehearsal.Run(t.Context(), options(t, bin, "shop", "null"))
	if err != nil || r.Run.Status != flawless.Completed {
		t.Fatal(r.Run, err)
	}
	rt, err := runtime()
	if err != nil {
		t.Fatal(err)
	}
	m, err := rt.Load(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	var hash string
	for range 2 {
		got, err := replay.Run(t.Context(), m, r.Run.ID, replay.Records(r.Log), replay.Options{})
		if err != nil || got.Divergence != nil {
			t.Fatal(got.Divergence, err)
		}
		if hash != "" && got.Hash != hash {
			t.Errorf("replays have the hashes %s and %s", hash, got.Hash)
		}
		hash = got.Hash
	}
}

// TestAbortWithdrawsCalls: a signal that aborts has the engine withdraw the call, which ends its retries, and the code gets
// the signal's reason. A call is not begun under a signal that has aborted, or after the run was cancelled.
func TestAbortWithdrawsCalls(t *testing.T) {
	t.Parallel()
	bin := build(t, `import { workflow } from "flawless"
const flawless = { retry: { attempts: 100, initial: "10s", factor: 1, statuses: [503] } }
workflow("retried", async (method: string) => {
  const c = new AbortController()
  setTimeout(() => c.abort(new Error("too slow")), 60_000)
  return fetch("https://pay.example/away", { method, signal: c.signal, flawless }).then((r) => "answered " + r.status, (e) => "failed: " + e.message)
})
workflow("timeout", () => fetch("https://pay.example/away", { signal: AbortSignal.timeout(60_000), flawless }).then(() => "answered", (e) => "failed: " + e.name))
workflow("before", () => fetch("https://pay.example/away", { method: "POST", signal: AbortSignal.abort(new Error("over")) }).then(() => "answered", (e) => "failed: " + e.message))`).Module
	for _, row := range []struct {
		workflow, input, want string
		none                  bool
	}{
		{"retried", `"POST"`, "failed: too slow", false},
		{"retried", `"GET"`, "failed: too slow", false},
		{"timeout", "null", "failed: TimeoutError", false},
		{"before", "null", "failed: over", true},
	} {
		o := options(t, bin, row.workflow, row.input)
		o.Outside = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		r, err := rehearsal.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Run.Output) != fmt.Sprintf("%q", row.want) || row.none != (len(r.Requests) == 0) || r.Virtual > time.Minute {
			t.Errorf("%s %s: %s %+v after %v and %d requests, want %q", row.workflow, row.input, r.Run.Output, r.Run.Failure, r.Virtual, len(r.Requests), row.want)
		}
	}
}

// TestWebAPIs compares what Web APIs and the modules of Node.js that guests have give with what standards and RFC 4231 say.
func TestWebAPIs(t *testing.T) {
	t.Parallel()
	r, err := rehearsal.Run(t.Context(), options(t, build(t, webAPIs).Module, "shop", "null"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"sha":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","sig":"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",` +
		`"ok":true,"uuid":true,"heard":3,"text":"ab","clone":true,"url":"https://a.example/b?x=1#y","node":"object","b64":"aMOpbGxv","wrong":"NotSupportedError"}`
	if got := string(r.Run.Output); got != want {
		t.Errorf("the output is\n%s\nwant\n%s\n%+v", got, want, r.Run.Failure)
	}
}

const webAPIs = `import { workflow } from "flawless"
import EventEmitter from "node:events"
import { Buffer as B } from "buffer"
workflow("shop", async () => {
  const enc = new TextEncoder()
  const hex = (b: ArrayBuffer) => B.from(b).toString("hex")
  const key = await crypto.subtle.importKey("raw", enc.encode("Jefe"), { name: "HMAC", hash: "SHA-256" }, true, ["sign", "verify"])
  const sig = await crypto.subtle.sign("HMAC", key, enc.encode("what do ya want for nothing?"))
  const e = new EventEmitter(); let heard = 0; e.on("x", (n: number) => { heard += n }); e.emit("x", 3)
  const rs = new ReadableStream({ start(c) { c.enqueue("a"); c.enqueue("b"); c.close() } })
  let text = ""; for await (const chunk of rs as any) text += chunk
  const cyc: any = { d: new Date(0), m: new Map([[1, new Set([2])]]) }; cyc.me = cyc
  const c = structuredClone(cyc)
  return {
    sha: hex(await crypto.subtle.digest("SHA-256", enc.encode("abc"))), sig: hex(sig), ok: await crypto.subtle.verify("HMAC", key, sig, enc.encode("what do ya want for nothing?")),
    uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/.test(crypto.randomUUID()), heard, text, clone: c.me === c && c !== cyc && c.m.get(1).has(2) && c.d.getTime() === 0,
    url: new URL("../b?x=1#y", "https://a.example/c/d").href, node: typeof process.env, b64: B.from("héllo").toString("base64"),
    wrong: await crypto.subtle.digest("MD5", enc.encode("")).catch((e: any) => e.name),
  }
})
`

// TestFailureAtModuleLevelIsSaid: whoever adds a module learns what its code threw while it was loaded, and where.
func TestFailureAtModuleLevelIsSaid(t *testing.T) {
	t.Parallel()
	rt, err := runtime()
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string][]string{
		"import { workflow } from 'flawless'\nfunction price() { throw new RangeError('no price') }\nworkflow('a', async () => price())\nprice()": {"RangeError: no price", "at price (shop.ts:2)"},
		"import { workflow } from 'flawless'\nworkflow('a', async () => 1)\nworkflow('a', async () => 2)":                                         {`two workflows with the name "a"`, "shop.ts:3"},
		"import { sleep, send } from 'flawless'\nvoid send('x', 'y')":                                                                             {"there is no run"},
	} {
		_, err := rt.Load(t.Context(), build(t, code).Module, nil)
		if err == nil {
			t.Errorf("it was loaded:\n%s", code)
			continue
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("the error lacks %q:\n%v", text, err)
			}
		}
	}
}

// TestBodies sends and reads each kind of body.
func TestBodies(t *testing.T) {
	t.Parallel()
	o := options(t, build(t, `import { workflow } from "flawless"
workflow("shop", async () => {
  const form = new FormData()
  form.append("note", "dear\nall")
  form.append("file", new File(["a", new Uint8Array([98]), new Blob(["c"])], "ä\".txt", { type: "text/plain" }))
  const sent = async (body: BodyInit) => { const r = await (await fetch("https://a.example/", { method: "POST", body })).json(); return [r.type.replace(/boundary=.*/, "boundary"), r.body.replace(/-{2,}formdata-[0-9a-f]*/g, "--B")] }
  const again = await new Response(form).formData(), file = again.get("file") as File
  const h = new Headers([["b", "2"], ["a", " 1 "], ["A", "3"], ["Set-Cookie", "x"], ["set-cookie", "y"]])
  const r = Response.json({ ok: true }, { status: 201 }), copy = r.clone()
  const used = await r.json().then(() => r.text()).catch((e) => e.name)
  const stream = new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("é")); c.close() } }))
  return {
    form: await sent(form), query: await sent(new URLSearchParams({ a: "b c", "ü": "&" })), bytes: await sent(new Uint8Array([104, 105])), text: await sent("hé"),
    again: [again.get("note"), file.name, file.type, await file.text()], headers: [...h], copy: [copy.status, copy.headers.get("content-type"), await copy.text()], used, stream: await stream.text(),
    get: (() => { try { new Request("https://a.example/", { body: "x" }) } catch (e: any) { return e.name } })(), method: new Request("https://a.example", { method: "post" }).method,
  }
})`).Module, "shop", "null")
	r, err := rehearsal.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"form":["multipart/form-data; boundary","--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\ndear\r\nall\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"ä%22.txt\"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--B--\r\n"],` +
		`"query":["application/x-www-form-urlencoded;charset=UTF-8","a=b+c&%C3%BC=%26"],"bytes":["","hi"],"text":["text/plain;charset=UTF-8","hé"],` +
		`"again":["dear\r\nall","ä\".txt","text/plain","abc"],"headers":[["a","1, 3"],["b","2"],["set-cookie","x"],["set-cookie","y"]],` +
		`"copy":[201,"application/json","{\"ok\":true}"],"used":"TypeError","stream":"é","get":"TypeError","method":"POST"}`
	if got := string(r.Run.Output); got != want {
		t.Errorf("the output is\n%s\nwant\n%s\n%+v", got, want, r.Run.Failure)
	}
}

// TestUndoWaitsForRequests: the undo of a step must not overtake a request that the step has begun and not awaited.
func TestUndoWaitsForRequests(t *testing.T) {
	t.Parallel()
	o := options(t, build(t, `import { saga, workflow } from "flawless"
workflow("shop", () => saga(async (s) => {
  await s.step("pay", async () => { void fetch("https://pay.example/charges", { method: "POST" }) }, () => fetch("https://pay.example/refunds", { method: "POST" }))
  throw new Error("full")
}))`).Module, "shop", "null")
	r, err := rehearsal.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, rec := range r.Log {
		for _, e := range rec.Entries {
			if e.Turn != nil {
				for _, c := range e.Turn.Calls {
					if c.Kind == "http" {
						order = append(order, fmt.Sprintf("turn %d asks", e.Turn.N))
					}
				}
			}
		}
	}
	if len(r.Requests) != 2 || len(order) != 2 || order[0] == order[1] {
		t.Errorf("%d requests, %v: the undo was sent before the request of its step was answered", len(r.Requests), order)
	}
}

// TestLargeResponseIsAnAnswer: the server has processed such a request. It must not look like one that failed.
func TestLargeResponseIsAnAnswer(t *testing.T) {
	t.Parallel()
	o := options(t, build(t, `import { workflow } from "flawless"
workflow("shop", async () => {
  const r = await fetch("https://pay.example/charges", { method: "POST", flawless: { limit: 10 } })
  return [r.status, await r.text().catch((e) => e.kind)]
})`).Module, "shop", "null")
	o.Outside = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "more than ten bytes") })
	r, err := rehearsal.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Run.Output); got != `[200,"too_large"]` || len(r.Requests) != 1 {
		t.Errorf("%s %+v after %d requests", got, r.Run.Failure, len(r.Requests))
	}
}
