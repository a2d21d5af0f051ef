// Waits and follows while the server is killed and started again.
import { Client } from "flawless-client";
import { env, same } from "./check.js";

const client = new Client({ url: env("FLAWLESS_URL") });
const run = await client.workflow<number, number[]>("guest", "mailbox").start("restart", 2);
const seen: number[] = [];
const watched: string[] = [];
const stop = new AbortController();
const following = (async () => {
	for await (const record of run.follow()) seen.push(record.seq);
})();
const watching = (async () => {
	for await (const change of client.watch({ signal: stop.signal })) watched.push(change.reset ? "reset" : change.run!.status);
})().catch(() => {});
const waiting = run.wait();
await run.send("number", 1, { key: "first" });
while (seen.length < 3) await new Promise((done) => setTimeout(done, 20));
console.log("ready"); // the server is killed, and started again
for await (const _ of process.stdin) break;
await run.send("number", 2, { key: "second" });
same("its output", await waiting, [1, 2]);
await following;
same("each record once", seen, seen.map((_, n) => n));
// The change may have been too early for the new connection, which then says so.
while (!watched.includes("completed") && !watched.includes("reset")) await new Promise((done) => setTimeout(done, 20));
stop.abort();
await watching;
console.log("done");
process.exit();
