// Calls, timers and turns: what passes between a workflow and the engine.
import { global, host } from "./host"
import { site } from "./site"

export type Head = Record<string, unknown>

/** A workflow of the module. */
export interface Definition {
  name: string
  doc?: string
  input?: unknown
  output?: unknown
  fn: (input: any, context: Context) => unknown
}

/** What a workflow gets beside its input. */
export interface Context {
  run: string
  module: string
  workflow: string
  url?: string
  signal: AbortSignal
}

/** The answer of a call. */
export interface Answer {
  call: number
  head: any
  text(): string
  bytes(): Uint8Array
  /** Frees the answer. */
  close(): void
}

const workflows = new Map<string, Definition>()
const pending = new Map<number, { kind: string; at: string; done: (call: number) => void }>()
const unhandled = new Map<Promise<unknown>, unknown>()
let arrived: number[] = [] // calls whose answers came with this turn and were not passed on yet
let cancellation = 0 // the number of the call that is answered when somebody cancels the run

export function define(d: Definition) {
  if (workflows.has(d.name)) throw new Error(`there are two workflows with the name ${JSON.stringify(d.name)}; give one of them another name`)
  workflows.set(d.name, d)
}

/** Makes a note: a call without an answer. */
export function note(kind: string, head: Head, body?: Uint8Array | string): number {
  return host.call(kind, JSON.stringify(head), body)
}

/** Makes a call. The promise is its number once the answer is there. */
export function call(kind: string, head: Head, body?: Uint8Array | string, at = site()): { call: number; answered: Promise<number> } {
  const n = host.call(kind, JSON.stringify({ ...head, at }), body)
  if (n < 0) throw new Error(`${kind}: there is no run. Only a workflow can make calls, not the code that runs while its module is loaded`)
  return { call: n, answered: new Promise((done) => pending.set(n, { kind, at, done })) }
}

/** An error that the engine answered with; kind and the other members are those of docs/internals/formats.md. */
export class CallError extends Error {
  kind!: string
  reason?: string
  status?: number
  constructor(readonly call: number, e: { kind: string; message: string }) {
    super(e.message)
    Object.assign(this, e)
  }
}
CallError.prototype.name = "CallError"

export function take(n: number): Answer {
  const head = JSON.parse(host.answer(n, 0, true)!)
  if (head.error) {
    host.forget(n)
    throw new CallError(n, head.error)
  }
  return { call: n, head, text: () => host.answer(n, 1, true)!, bytes: () => host.answer(n, 1, false)!, close: () => host.forget(n) }
}

/** Makes a call and waits for its answer. It throws the answer if that is an error. */
export async function ask(kind: string, head: Head, body?: Uint8Array | string, at = site()): Promise<Answer> {
  return take(await call(kind, head, body, at).answered)
}

// Timers, sorted by time; equal ones by age.
interface Timer { id: number; at: number; every: number; fn: Function; args: unknown[]; site: string }
const timers: Timer[] = []
let made = 0

function enter(t: Timer) {
  let low = 0, high = timers.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (timers[middle].at <= t.at) low = middle + 1
    else high = middle
  }
  timers.splice(low, 0, t)
}

function timer(repeat: boolean, fn: Function, ms: unknown, args: unknown[]): number {
  if (typeof fn !== "function") throw new TypeError("a timer needs a function")
  const after = Math.max(Number(ms) || 0, repeat ? 1 : 0)
  const t = { id: ++made, at: Math.ceil(Date.now() + after), every: repeat ? after : 0, fn, args, site: site() }
  enter(t)
  return t.id
}

function clear(id: unknown) {
  const k = timers.findIndex((t) => t.id === Number(id))
  if (k >= 0) timers.splice(k, 1)
}

global.setTimeout = (fn: Function, ms?: number, ...args: unknown[]) => timer(false, fn, ms, args)
global.setInterval = (fn: Function, ms?: number, ...args: unknown[]) => timer(true, fn, ms, args)
global.setImmediate = (fn: Function, ...args: unknown[]) => timer(false, fn, 0, args)
global.clearTimeout = global.clearInterval = global.clearImmediate = clear
Math.random = () => host.random()

/** Ends the run with a failure. */
export function fail(e: any) {
  const kind = e?.name === "Cancelled" ? "cancelled" : "error"
  const message = e instanceof Error ? `${e.name}: ${e.message}` : String(e)
  host.finish(false, JSON.stringify({ kind, message, stack: e?.stack ? String(e.stack) : "" }))
}

host.hooks({
  describe() {
    return JSON.stringify({ sdk: "ts/0.1.0", workflows: [...workflows.values()].map(({ fn, ...d }) => d), hosts: [] })
  },
  start() {
    const head = JSON.parse(host.answer(0, 0, true)!)
    const input = host.answer(0, 1, true)!
    const d = workflows.get(head.workflow)
    if (!d) return fail(new Error(`this module has no workflow ${JSON.stringify(head.workflow)}`))
    cancellation = host.call("cancelled", "{}")
    const context: Context = { run: head.run, module: head.module, workflow: head.workflow, url: head.url, signal: new AbortController().signal }
    const result = (async () => d.fn(input ? JSON.parse(input) : undefined, context))()
    result.then((v) => host.finish(true, JSON.stringify(v) ?? "null")).catch(fail)
  },
  resume() {
    arrived = [...pending.keys()].filter((n) => host.answered(n))
    if (cancellation && host.answered(cancellation)) {
      cancellation = 0
      fail(Object.assign(new Error("the run was cancelled"), { name: "Cancelled" }))
    }
  },
  deliver() {
    for (const reason of unhandled.values()) {
      fail(reason)
      return -1
    }
    const n = arrived.shift()
    if (n !== undefined) {
      const p = pending.get(n)!
      pending.delete(n)
      p.done(n)
      return 0
    }
    if (timers.length === 0) return -1
    const t = timers[0]
    if (t.at > Date.now()) return t.at
    timers.shift()
    if (t.every) enter(Object.assign(t, { at: Math.ceil(Date.now() + t.every) }))
    t.fn(...t.args)
    return 0
  },
  blocked() {
    const lines = [...pending].map(([n, p]) => `call ${n}: ${p.kind} at ${p.at}`)
    for (const t of timers) lines.push(`timer at ${t.site}`)
    return lines.join("\n") || "the workflow waits for a promise that nothing will settle"
  },
  rejected(promise, reason, handled) {
    if (handled) unhandled.delete(promise)
    else unhandled.set(promise, reason)
  },
})
