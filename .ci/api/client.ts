// A program against the generated client: it has to compile, and to start a run and wait for it.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const client = createClient<paths>({ baseUrl: process.env.FLAWLESS_URL! });

// Statuses are a closed list: this compiles only if each has a text.
const texts: Record<components["schemas"]["Status"], string> = {
  pending: "accepted", running: "computes", waiting: "waits", paused: "is paused", unresolved: "needs a decision",
  completed: "done", failed: "failed", cancelled: "cancelled", terminated: "terminated",
};

const { data, error } = await client.POST("/api/v1/runs", {
  params: { query: { wait: true } },
  body: { module: "hello", workflow: "hello", input: { name: "Ann" } },
});
if (error) throw new Error(error.detail);
if (texts[data.run.status] !== "done") throw new Error(`the run is ${data.run.status}: ${data.run.failure?.message}`);

const unfit = await client.POST("/api/v1/runs", { body: { module: "hello", workflow: "hello", input: 7 } });
if (unfit.error?.status !== 422 || unfit.error.code !== "invalid" || !unfit.error.errors?.length) {
  throw new Error(`an input that does not fit: ${JSON.stringify(unfit)}`);
}

const log = await client.GET("/api/v1/runs/{id}/log", { params: { path: { id: data.run.id } } });
if (!log.data?.[0]?.entries[0]?.start) throw new Error(`the log begins with ${JSON.stringify(log.data?.[0])}`);
console.log("the TypeScript client works");
