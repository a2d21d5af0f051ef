// Uses every operation of the client against a server with the guest of the engine's tests.
import { Client, FlawlessError, Lost, Refused, RunEnded, TimedOut, Unreachable, Unresolved } from "flawless-client";
import { all, env, failure, same, until } from "./check.js";

const prefix = env("PREFIX");
const client = new Client(); // FLAWLESS_URL, FLAWLESS_TOKEN
const echo = client.workflow<{ text: string }, { text: string }>("guest", "empty");
const id = (name: string) => prefix + name;

// Starts.
const first = await echo.start(id("echo"), { text: "ä" }, { labels: { of: prefix, kind: "echo" } });
same("it was started", [first.started, first.id, first.run.labels?.["of"]], [true, id("echo"), prefix]);
same("its output", (await first.wait()).text, "ä");
const second = await echo.start(id("echo"), { text: "ä" }, { labels: { of: prefix, kind: "echo" } });
same("it was found", [second.started, second.run.status], [false, "completed"]);
same("the output of run", await echo.run(id("echo"), { text: "ä" }, { labels: { of: prefix, kind: "echo" }, timeout: 60_000 }), { text: "ä" });
const taken = await failure("an id that is taken", echo.start(id("echo"), { text: "other" }), Refused);
same("its code", [taken.code, taken.status], ["conflict", 409]);
const unfit = await failure("an input that does not fit", client.workflow("guest", "sleep").start(id("unfit"), "x"), Refused);
same("its code", [unfit.code, unfit.status, unfit.faults.length > 0], ["invalid", 422, true]);
same("an empty id", (await failure("an empty id", echo.start("", { text: "" }), Refused)).code, "invalid");
same("an unknown run", (await failure("an unknown run", client.run(id("none")).get(), Refused)).code, "not found");

// Types.
// @ts-expect-error: the input has another type
void (() => echo.start("x", 7));
// @ts-expect-error: the input is missing
void (() => echo.start("x"));
// @ts-expect-error: the output has another type
void (async (): Promise<number> => (await first.wait()).text);
// @ts-expect-error: there is no such status
void (() => client.runs({ status: "done" }));
void (() => client.workflow("guest").start("x"));

// Runs that end without output.
const failed = await failure("a run that fails", client.workflow<string>("guest", "fail").run(id("fail"), "for a reason"), RunEnded);
same("its failure", [failed.code, failed.run.failure?.message.includes("for a reason")], ["failed", true]);
const obey = await client.workflow("guest", "obey").start(id("obey"), null);
const early = await failure("a wait with a time-out", obey.wait({ timeout: 200 }), TimedOut);
same("its code", [early.code, early instanceof FlawlessError], ["timed out", true]);
const aborting = new AbortController();
setTimeout(() => aborting.abort(new Error("enough")), 100);
same("an aborted wait", (await failure("an aborted wait", obey.wait({ signal: aborting.signal }), Error)).message, "enough");
same("an aborted request", (await failure("an aborted request", obey.get({ signal: AbortSignal.abort(new Error("already")) }), Error)).message, "already");
await obey.cancel({ who: "ann", note: "ordered twice" });
same("a cancelled run", (await failure("a cancelled run", obey.wait(), RunEnded)).code, "cancelled");
const again = await obey.restart(id("obey2"));
await again.terminate({ note: "enough" });
same("a terminated run", (await failure("a terminated run", again.wait(), RunEnded)).code, "terminated");

// A request that waits ends after a while, and is made again. Here, the while is short.
const long = await client.workflow("guest", "obey").start(id("long"), null);
const real = globalThis.setTimeout;
globalThis.setTimeout = ((f: () => void, ms?: number) => real(f, ms === 50_000 ? 200 : ms)) as typeof setTimeout;
let asked = 0;
const counting = new Client({ fetch: (url, init) => (asked++, fetch(url, init)), repeating: (why) => { throw why; } });
const waiting = failure("a long wait", counting.run(id("long")).wait(), RunEnded);
await until("it asks again", async () => asked, (n) => n > 2);
await long.cancel();
same("how it ended", (await waiting).code, "cancelled");
globalThis.setTimeout = real;

// Messages.
const mailbox = await client.workflow<number, number[]>("guest", "mailbox").start(id("mailbox"), 3);
await mailbox.pause({ note: "to see the messages" });
same("it is paused", (await mailbox.get()).status, "paused");
await mailbox.send("number", 1, { key: "one", who: "ann" });
await mailbox.send("number", 1, { key: "one", who: "ann" });
await mailbox.send("number", 2);
await mailbox.send("number", 2);
await mailbox.send("unknown", "x");
same("unread messages", (await all(mailbox.messages())).filter((m) => m.type === "unknown").length, 1);
await mailbox.resume();
same("its output", await mailbox.wait(), [1, 2, 2]);
same("a message to a run that has ended", (await failure("a message", mailbox.send("number", 1), Refused)).code, "conflict");
const counter = await client.workflow<null, number>("guest", "counter").start(id("counter"), null);
same("replies", [await counter.ask<number>("add", 5), await counter.ask<number>("add", 6)], [5, 11]);
await counter.send("stop");
same("its output", await counter.wait(), 11);

// Logs and data.
const records = await all(counter.log());
same("the log", [records[0]?.entries[0]?.start?.workflow, records.length > 1], ["counter", true]);
same("part of the log", (await all(counter.log(1)))[0]?.seq, 1);
same("a followed log", (await all(counter.follow())).map((r) => r.seq), records.map((r) => r.seq));
same("a followed part of it", (await all(counter.follow(1)))[0]?.seq, 1);
same("a run without data", (await failure("no data", counter.data(), Refused)).code, "not found");

// Promises and data.
const promise = await client.workflow<null, { by: string; n: number }>("guest", "promise").start(id("promise"), null);
let token = "";
for await (const data of promise.followData<{ token: string }>()) {
	token = data.token;
	break; // closes the connection
}
same("the data", (await promise.data<{ token: string }>()).token, token);
same("open promises", (await all(promise.promises())).map((p) => p.token), [token]);
await client.settle(token, { by: "ann", n: 1 });
same("its output", await promise.wait(), { by: "ann", n: 1 });
const settled = await failure("a promise that is settled", client.settle(token, { n: 1, by: "ben" }), Refused);
same("what it was settled with", [settled.code, settled.settled?.value], ["conflict", { by: "ann", n: 1 }]);
const rejected = await client.workflow("guest", "promise").start(id("rejected"), null);
for await (const data of rejected.followData<{ token: string }>()) {
	await client.reject(data.token, "too expensive", { who: "ben" });
	break;
}
same("a rejected promise", (await failure("a rejected promise", rejected.wait(), RunEnded)).run.failure?.message.includes("too expensive"), true);

// Decisions.
const unsure = await client.workflow<{ url: string }, string>("guest", "once").start(id("unsure"), { url: env("OUTSIDE") + "/cut" });
const doubt = await failure("an outcome that is unknown", unsure.wait(), Unresolved);
const calls = doubt.run.unresolved ?? [];
same("its calls", [calls.length, doubt.message.includes(calls[0]!.reason)], [1, true]);
await unsure.resolve(calls[0]!.call, { resolution: "response", status: 200, body: "paid", who: "ann" });
same("the answer that was given", await unsure.wait(), "paid");
const dead = await client.workflow<{ url: string }>("guest", "once").start(id("dead"), { url: env("DEAD") });
await until("it is retried", () => dead.get(), (r) => (r.retrying?.length ?? 0) > 0);
await dead.retry({ give_up: true, note: "nobody is there" });
await failure("a call that was given up", dead.wait(), RunEnded);

// Lists.
same("runs with labels", (await all(client.runs({ labels: { of: prefix, kind: "echo" } }))).map((r) => r.id), [id("echo")]);
const mine = await all(client.runs({ prefix, limit: 2 }));
same("runs over several pages", mine.length, new Set(mine.map((r) => r.id)).size);
same("runs by status", (await all(client.runs({ prefix, status: ["cancelled", "terminated"] }))).map((r) => r.id), [id("long"), id("obey2"), id("obey")]);
same("runs by time", await all(client.runs({ prefix, until: new Date(0) })), []);
same("modules", (await all(client.modules())).some((m) => m.name === "guest"), true);

// States.
await client.workflow<number>("guest", "add").run(id("add"), 2);
const sum = await client.state<number>("sum");
same("a state", [typeof sum.value, (await all(client.states())).some((s) => s.name === "sum" && typeof s.value === "number")], ["number", true]);

// Schedules.
const schedule = client.schedule(id("daily"));
const plan = { cron: "0 3 * * *", zone: "Europe/Berlin", module: "guest", workflow: "empty", input: { text: "by schedule" } };
same("a schedule", (await schedule.set(plan)).cron, plan.cron);
same("one that exists", (await failure("it exists", schedule.set(plan), Refused)).code, "conflict");
await schedule.set(plan, { replace: true });
same("schedules", (await all(client.schedules())).some((s) => s.name === schedule.name), true);
await schedule.pause({ note: "holidays" });
same("it is paused", (await schedule.get()).paused, true);
await schedule.resume();
const triggered = await schedule.trigger("a-key");
same("its run", [triggered.started, await triggered.wait()], [true, { text: "by schedule" }]);
same("the same key", [(await schedule.trigger("a-key")).started, (await schedule.trigger("a-key")).id], [false, triggered.id]);
const past = new Date(Date.now() - 3 * 86_400_000);
same("past times", (await schedule.backfill(past, new Date())).started.length, 3);
await schedule.remove();
same("it is gone", (await failure("it is gone", schedule.get(), Refused)).code, "not found");

// All changes.
const watching = new AbortController();
const seen: string[] = [];
const watched = (async () => {
	for await (const change of client.watch({ signal: watching.signal })) {
		if (!change.run?.id.startsWith(prefix)) continue;
		seen.push(change.run.id);
		if (change.run.status === "completed") break;
	}
})();
for (let n = 0; seen.length === 0; n++) await echo.run(id(`watched${n}`), { text: "" }); // the first ones may be too early
await watched;

// Others.
same("health", (await client.health()).state, "ok");
same("version", typeof (await client.version()).version, "string");
same("stats", Array.isArray((await client.request<{ modules: unknown[] }>("GET", "/stats")).modules), true);
same("a wrong request", (await failure("a wrong request", client.request("POST", "/runs", { body: { module: 7 } }), Refused)).code, "invalid");

// Servers that are not there, or no servers.
const began = Date.now();
same("no server", (await failure("no server", new Client({ url: env("DEAD") }).version(), Unreachable)).code, "unreachable");
same("it is reported at once", Date.now() - began < 10_000, true);
same("a wrong token", (await failure("a wrong token", new Client({ token: "0123456789abcdeX" }).version(), Refused)).code, "denied");
same("another program", (await failure("another program", new Client({ url: env("OUTSIDE") }).version(), FlawlessError)).code, "unexpected");
same("a redirect", (await failure("a redirect", new Client({ url: env("OUTSIDE") + "/moved" }).version(), FlawlessError)).code, "unexpected");
for (const url of ["nonsense", "ftp://x", "http://ann:pw@127.0.0.1:1"]) {
	await failure(url, (async () => new Client({ url }))(), FlawlessError);
}
same("a token without encryption", (await failure("unencrypted", (async () => new Client({ url: "http://flawless.example" }))(), FlawlessError)).code, "denied");
new Client({ url: "http://flawless.example", unencrypted: true });
const slow = await failure("a decision that is not answered", new Client({ url: env("OUTSIDE") + "/silent", answerTimeout: 300 }).run("x").resolve(1, { resolution: "retry" }), Lost);
same("what to do", [slow.code, slow.message.includes("before you decide again")], ["the answer was lost", true]);
const late = await failure("a start that is not answered in time", new Client({ url: env("OUTSIDE") + "/silent" }).workflow("m").start("x-1", undefined, { timeout: 300 }), Lost);
same("what to do", late.message.includes("repeat it with the id x-1"), true);

console.log("done");
