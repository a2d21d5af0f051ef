// Uses a connection that loses answers and cuts streams. Every request must have one effect.
import { Client, Lost } from "flawless-client";
import { all, env, failure, same } from "./check.js";

const repeated: string[] = [];
const client = new Client({ url: env("LOSSY"), repeating: (why) => repeated.push(why.message) });
const mailbox = client.workflow<number, number[]>("guest", "mailbox");

const runs = await Promise.all(Array.from({ length: 8 }, (_, n) => mailbox.start(`lossy-${n}`, 4)));
await Promise.all(runs.map(async (run) => {
	for (let n = 0; n < 4; n++) await run.send("number", n);
	same("messages", await run.wait(), [0, 1, 2, 3]);
	const log = await all(run.log());
	same("a followed log", (await all(run.follow())).map((r) => r.seq), log.map((r) => r.seq));
}));
const promise = await client.workflow<null, number>("guest", "promise").start("lossy-promise", null);
for await (const { token } of promise.followData<{ token: string }>()) {
	for (let n = 0; n < 4; n++) await client.settle(token, 7).catch((e: { code: string; settled?: { value: unknown } }) => same("it is settled", [e.code, e.settled?.value], ["conflict", 7]));
	break;
}
same("its output", await promise.wait(), 7);
same("requests were repeated", repeated.length > 8, true);

// A decision is sent once: its answer is lost, and the run was resumed.
const paused = await mailbox.start("lossy-paused", 0 + 1);
await paused.pause();
const impatient = new Client({ url: env("LOSSY") + "/always" });
const lost = await failure("an answer that is lost", impatient.run("lossy-paused").resume(), Lost);
same("what to do", lost.message.includes("flawless workflow show lossy-paused"), true);
same("it was carried out", (await paused.get()).status !== "paused", true);
console.log("done");
