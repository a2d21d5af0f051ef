// Is compiled, not run: types of a workflow's own, and given ones.
import { Client } from "flawless-client";
import type checkout from "./shop.js";

const client = new Client();
const own = client.workflow<typeof checkout>("shop", "checkout");
const charge: string = (await (await own.start("x", { item: "chair", cents: 1 })).wait()).charge;
// @ts-expect-error: the input lacks a member
await own.start("x", { item: "chair" });
// @ts-expect-error: the output has no such member
(await own.run("x", { item: "chair", cents: 1 })).shipment;

const given = client.workflow<string | null, boolean>("shop");
const yes: boolean = await given.run("x", null);
// @ts-expect-error: the input is missing
await given.run("x");
const free = client.workflow<any, { n: number }>("shop");
const n: number = (await free.run("x", { whatever: 1 })).n;
// @ts-expect-error: nothing is known of the output
const unknown: string = await client.workflow("shop").run("x");
console.log(charge, yes, n, unknown);
