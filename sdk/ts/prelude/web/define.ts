// What all Web APIs share: conversions of Web IDL (https://webidl.spec.whatwg.org), and how classes are made global.
import { global, host } from "../host"

/** Makes classes global under their standard names, as properties that for-in does not list. */
export function expose(classes: Record<string, any>) {
  for (const [name, value] of Object.entries(classes)) {
    if (typeof value === "function" && value.prototype && /^[A-Z]/.test(name)) {
      if (value.name !== name) Object.defineProperty(value, "name", { value: name, configurable: true })
      Object.defineProperty(value.prototype, Symbol.toStringTag, { value: name, configurable: true })
      enumerable(value.prototype)
    }
    Object.defineProperty(global, name, { value, writable: true, configurable: true })
  }
}

// Members of interfaces are enumerable, unlike those of classes.
function enumerable(prototype: any) {
  for (const [key, d] of Object.entries(Object.getOwnPropertyDescriptors(prototype)))
    if (key !== "constructor" && d.configurable && !d.enumerable) Object.defineProperty(prototype, key, { ...d, enumerable: true })
}

/** USVString: lone surrogates become U+FFFD. */
export function text(v: unknown): string {
  const s = typeof v === "string" ? v : `${v as any}`
  return s.isWellFormed() ? s : s.toWellFormed()
}

/** Throws if a function was called with too few arguments. */
export function need(args: IArguments | unknown[], n: number, what: string) {
  if (args.length < n) throw new TypeError(`${what}: ${n} argument${n > 1 ? "s" : ""} needed, but only ${args.length} given`)
}

export const isBytes = (v: unknown): v is ArrayBuffer | ArrayBufferView => ArrayBuffer.isView(v) || v instanceof ArrayBuffer || (typeof SharedArrayBuffer !== "undefined" && v instanceof SharedArrayBuffer)

/** The bytes of a buffer or view, not copied. */
export function bytesOf(b: any): Uint8Array {
  if (b instanceof Uint8Array) return b
  return ArrayBuffer.isView(b) ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b)
}

export function join(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]
  let n = 0
  for (const p of parts) n += p.length
  const all = new Uint8Array(n)
  n = 0
  for (const p of parts) {
    all.set(p, n)
    n += p.length
  }
  return all
}

/** The buffer of bytes, alone in it. */
export const bufferOf = (b: Uint8Array): ArrayBuffer => (b.byteLength === b.buffer.byteLength ? b.buffer : b.slice().buffer) as ArrayBuffer

export const utf8 = (s: string): Uint8Array => host.utf8(s.isWellFormed() ? s : s.toWellFormed())
