// structuredClone (https://html.spec.whatwg.org/multipage/structured-data.html), without transfer.
import { global } from "../host"

const plain = [Boolean, Number, String, BigInt]

global.structuredClone = function structuredClone(value: unknown): unknown {
  return copy(value, new Map())
}

function copy(v: any, done: Map<unknown, unknown>): unknown {
  if (typeof v === "function" || typeof v === "symbol") throw new DOMException(`${String(v).slice(0, 60)} could not be cloned.`, "DataCloneError")
  if (typeof v !== "object" || v === null) return v
  if (done.has(v)) return done.get(v)
  const keep = <T>(c: T): T => (done.set(v, c), c)
  for (const c of plain) if (v instanceof c) return keep(Object(v.valueOf()))
  if (v instanceof Date) return keep(new Date(v.getTime()))
  if (v instanceof RegExp) return keep(new RegExp(v.source, v.flags))
  if (v instanceof ArrayBuffer) return keep(v.slice(0))
  if (ArrayBuffer.isView(v)) {
    const b = copy(v.buffer, done) as ArrayBuffer
    if (v instanceof DataView) return keep(new DataView(b, v.byteOffset, v.byteLength))
    return keep(new (v.constructor as any)(b, v.byteOffset, (v as any).length))
  }
  if (v instanceof Map) {
    const m = keep(new Map())
    for (const [k, x] of [...v]) m.set(copy(k, done), copy(x, done))
    return m
  }
  if (v instanceof Set) {
    const s = keep(new Set())
    for (const x of [...v]) s.add(copy(x, done))
    return s
  }
  if (v instanceof Error) {
    const known: Record<string, ErrorConstructor> = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError } as any
    const e = keep(new (known[v.name] ?? Error)(v.message))
    if ("cause" in v) e.cause = copy(v.cause, done)
    Object.defineProperty(e, "stack", { value: v.stack, writable: true, configurable: true })
    return e
  }
  if (v instanceof Promise || v instanceof WeakMap || v instanceof WeakSet || v instanceof WeakRef) throw new DOMException(`${Object.prototype.toString.call(v)} could not be cloned.`, "DataCloneError")
  const out: any = keep(Array.isArray(v) ? new Array(v.length) : {})
  for (const k of Object.keys(v)) out[k] = copy(v[k], done)
  return out
}
