// Calls, timers and turns: what passes between a workflow and the engine.
import { global, host } from "./host"
import { awaits, lost, site } from "./site"

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

/** The error of everything that waits when the run is cancelled. A workflow that lets it pass ends as cancelled. */
export class Cancelled extends Error {
  by?: string
  note?: string
  constructor(head: { by?: string; note?: string } = {}) {
    super("the run was cancelled" + (head.by ? ` by ${head.by}` : "") + (head.note ? `: ${head.note}` : ""))
    this.by = head.by
    this.note = head.note
  }
}
Cancelled.prototype.name = "Cancelled"

const keys: { host: string; within_ms: number }[] = []

/** Declares how long a host honours an Idempotency-Key. */
export function declareKeys(k: { host: string; within_ms: number }) {
  keys.push(k)
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
  return callRaw(kind, JSON.stringify({ ...head, at }), body, at)
}

/** call with the JSON of a head: for numbers that a number of JavaScript cannot hold. */
export function callRaw(kind: string, head: string, body: Uint8Array | string | undefined, at: string): { call: number; answered: Promise<number> } {
  checkBody(body)
  const n = host.call(kind, head, body)
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

const maxBody = 64 << 20, maxText = 1 << 20 // the engine ends a guest that hands it more, in bytes

/** Throws an error if the engine would not accept a body: then the call must not be made. */
export function checkBody(body: Uint8Array | string | undefined) {
  if (body === undefined || body.length * (typeof body === "string" ? 3 : 1) <= maxBody) return
  const size = typeof body === "string" ? host.utf8(body.toWellFormed()).length : body.length
  if (size > maxBody) throw new CallError(0, { kind: "too_large", message: `the body has ${size} bytes, the limit is ${maxBody}; nothing was sent` })
}

/** Shortens a text that is longer than the engine accepts for a line of the log or the message of a failure. */
export function cut(text: string): string {
  return text.length * 3 <= maxText ? text : text.slice(0, maxText / 3 - 10).toWellFormed() + "… (cut)"
}

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

/** The signal of the run: it aborts when somebody cancels the run. */
export let cancelled = new AbortController()

let shields = 0

/** Runs code that a cancellation of the run does not reach, such as clean-up: its calls are made and waited for. */
export async function shielded<T>(fn: () => T | Promise<T>): Promise<T> {
  shields++
  try {
    return await fn()
  } finally {
    shields--
  }
}

/** Whether code that runs now is not reached by a cancellation. */
export const isShielded = () => shields > 0

/** The signals that end a wait: that of the run, unless the code is shielded, and the given one. null is not even that of the run. */
export function signalsOf(given: AbortSignal | null | undefined): AbortSignal[] {
  const out: AbortSignal[] = []
  if (given !== null && !isShielded()) out.push(cancelled.signal)
  if (given) out.push(given)
  return out
}

/** Throws the reason of the first signal that has aborted. */
export function throwIfOver(signals: AbortSignal[]) {
  for (const s of signals) if (s.aborted) throw s.reason
}

/** Waits for a promise, or until a signal aborts: then it throws its reason. The promise must not reject. */
export function until<T>(p: Promise<T>, signals: AbortSignal[], gaveUp?: () => void): Promise<T> {
  if (signals.length === 0) return p
  return new Promise<T>((resolve, reject) => {
    let over = false
    const end = (e: Event) => {
      if (over) return
      leave()
      gaveUp?.()
      reject((e.target as AbortSignal).reason)
    }
    const leave = () => {
      over = true
      for (const s of signals) s.removeEventListener("abort", end)
    }
    for (const s of signals) s.addEventListener("abort", end)
    p.then((v) => {
      if (over) return
      leave()
      resolve(v)
    })
  })
}

/** Steps of sagas whose code runs now, with what was begun meanwhile: their undos wait for it. */
export const openSteps: { begun: Set<PromiseLike<unknown>> }[] = []

/** Makes the undo of the steps that run now wait for a promise. */
export function belongs(p: PromiseLike<unknown>) {
  for (const s of openSteps) s.begun.add(p)
}

/**
 * Makes an http call and waits for its answer. When a signal aborts, the code does not decide on its own: the call is
 * withdrawn, and the engine's reply says what happens. The reason of the signal is thrown if the call never begins or is
 * abandoned; otherwise its outcome is waited for, because code that saw a time-out would send it again.
 */
export async function exchange(head: Head, body: Uint8Array | string | undefined, at: string, signals: AbortSignal[], settle = false): Promise<Answer> {
  throwIfOver(signals)
  const c = call("http", head, body, at)
  belongs(c.answered)
  let reason: { why: unknown } | undefined
  const end = (e: Event) => {
    if (reason) return
    reason = { why: (e.target as AbortSignal).reason }
    const why = (reason.why as any)?.name === "TimeoutError" ? "deadline" : "cancelled"
    note("withdraw", { call: c.call, why, settle: settle || undefined })
  }
  for (const s of signals) s.addEventListener("abort", end)
  const n = await c.answered
  for (const s of signals) s.removeEventListener("abort", end)
  try {
    return take(n)
  } catch (e) {
    if (reason && e instanceof CallError && e.kind === "withdrawn") throw reason.why
    throw e
  }
}

/** JSON of a value. What JSON cannot hold is an error that names where it is, where JSON.stringify would drop it. */
export function toJSON(value: unknown, what: string): string {
  check(value, what, "", [])
  return JSON.stringify(value) ?? "null"
}

function check(v: any, what: string, path: string, around: unknown[]) {
  const bad = (why: string) => new TypeError(`${what} cannot be written as JSON: ${path ? path.slice(1) : "it"} is ${why}`)
  switch (typeof v) {
    case "bigint":
      throw bad("a bigint; use a string or a number")
    case "function":
    case "symbol":
      throw bad(`a ${typeof v}`)
    case "number":
      if (!Number.isFinite(v)) throw bad(`${v}`)
      return
    case "object":
      break
    default:
      return
  }
  if (v === null) return
  if (typeof v.toJSON === "function") return
  if (around.includes(v)) throw bad("part of itself")
  if (v instanceof Map || v instanceof Set || v instanceof Promise || ArrayBuffer.isView(v) || v instanceof ArrayBuffer || v instanceof Error)
    throw bad(`a ${v.constructor?.name || "value"}, which JSON would write as {}; make a plain object, an array or a string of it`)
  const own = !Array.isArray(v) && Object.getPrototypeOf(v)
  if (own && own !== Object.prototype && Object.getOwnPropertyNames(own).some((k) => k !== "constructor"))
    throw bad(`an instance of ${own.constructor?.name || "a class"}, of which JSON would write the fields alone; give the class toJSON(), or make a plain object`)
  around.push(v)
  if (Array.isArray(v)) v.forEach((x, k) => check(x, what, `${path}.${k}`, around))
  else for (const k of Object.keys(v)) check(v[k], what, `${path}.${k}`, around)
  around.pop()
}

// Timers, sorted by time; equal ones by age.
interface Timer { id: number; at: number; every: number; fn: Function; args: unknown[]; site: string }
const timers: Timer[] = []
const endOfTime = 9_223_372_036_000 // ms: the engine counts nanoseconds, until 2262
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
  const t = { id: ++made, at: Math.min(Math.ceil(Date.now() + after), endOfTime), every: repeat ? after : 0, fn, args, site: site() }
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

// The parser of the engine calls itself for each level. It would use up the guest's stack, which ends the run, before it
// finds out by itself.
const parse = JSON.parse, maxNesting = 4000
JSON.parse = function (text: any, reviver?: any) {
  if (typeof text === "string" && text.length > maxNesting && host.nesting(text) > maxNesting) throw new RangeError(`the JSON is nested more than ${maxNesting} levels deep`)
  return parse(text, reviver)
}

/** Ends the run with a failure. */
function fail(e: any) {
  const kind = isCancellation(e) ? "cancelled" : "error"
  const message = e instanceof Cancelled ? e.message : e instanceof Error ? `${e.name}: ${e.message}` : String(e)
  host.finish(false, JSON.stringify({ kind, message: cut(message), stack: e?.stack ? cut(String(e.stack)) : "" }))
}

/** Whether an error, or one that caused it, is that of the cancellation of the run. */
function isCancellation(e: any): boolean {
  if (!cancelled.signal.aborted) return false
  for (let depth = 0; e && depth < 100; e = e.cause, depth++) if (e instanceof Cancelled || e === cancelled.signal.reason) return true
  return false
}

host.hooks({
  describe() {
    for (const reason of unhandled.values()) throw reason
    return JSON.stringify({ sdk: "ts/0.1.0", workflows: [...workflows.values()].map(({ fn, ...d }) => d), hosts: [], keys: keys.length ? keys : undefined })
  },
  start() {
    const head = JSON.parse(host.answer(0, 0, true)!)
    const input = host.answer(0, 1, true)!
    const d = workflows.get(head.workflow)
    if (!d) return fail(new Error(`no workflow ${JSON.stringify(head.workflow)}: the module has ${[...workflows.keys()].join(", ") || "none; register it with workflow(…) at module level"}`))
    cancellation = host.call("cancelled", "{}")
    const context: Context = { run: head.run, module: head.module, workflow: head.workflow, url: head.url, signal: cancelled.signal }
    const result = (async () => d.fn(input ? JSON.parse(input) : undefined, context))()
    result.then((v) => {
      const text = toJSON(v, "the output")
      checkBody(text)
      host.finish(true, text)
    }).catch(fail)
  },
  resume() {
    arrived = [...pending.keys()].filter((n) => host.answered(n))
    if (cancellation && host.answered(cancellation)) {
      const head = JSON.parse(host.answer(cancellation, 0, true)!)
      cancellation = 0
      const reason = new Cancelled(head)
      reason.stack = ""
      cancelled.abort(reason)
    }
  },
  deliver() {
    for (const [p, reason] of unhandled) {
      unhandled.delete(p)
      if (isCancellation(reason)) continue // a wait that nobody awaits must not end the run while the code cleans up
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
    try {
      t.fn(...t.args)
    } catch (e) {
      fail(e) // nobody can catch it
    }
    return 0
  },
  blocked() {
    const lines = [...pending].map(([n, p]) => `call ${n}: ${p.kind} at ${p.at}`)
    for (const t of timers) lines.push(`timer at ${t.site}`)
    lines.push(...awaits())
    if (lines.length === 0) lines.push(...lost())
    return lines.join("\n") || "the workflow waits for a promise that nothing will settle"
  },
  rejected(promise, reason, handled) {
    if (handled) unhandled.delete(promise)
    else unhandled.set(promise, reason)
  },
})
