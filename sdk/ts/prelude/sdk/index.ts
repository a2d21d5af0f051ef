// What a workflow imports as "flawless". Types and their contracts for users are in ../../flawless.d.ts.
import { type Context, define } from "../loop"
import { schemaOf, validated } from "./schema"

export { CallError, Cancelled, shielded } from "../loop"
export { await_ as awaitRun, ChildError, spawn } from "./child"
export { data as setData, label as setLabel, log, now, runID, secret, sleep } from "./run"
export { messages, receive, receiveMessage, send } from "./message"
export { promise } from "./promise"
export { state } from "./state"
export { saga, UndoError } from "./saga"
export { fresh } from "./fresh"
export { honoursKeys, Interrupted } from "./key"

/** Registers a workflow. The manifest has its schemas; an input is checked before the function is called. */
export function workflow(name: string, fn: (input: any, context: Context) => unknown, about: { doc?: string; input?: unknown; output?: unknown } = {}) {
  if (typeof name !== "string" || !name.trim() || typeof fn !== "function") throw new TypeError(`workflow("name", async (input, context) => …): the first argument is a name and the second a function`)
  define({
    name,
    doc: about.doc,
    input: schemaOf(about.input),
    output: schemaOf(about.output),
    fn: async (input, context) => fn(await validated(about.input, input, "the input"), context),
  })
  return fn
}
