// TextEncoder, TextDecoder (UTF-8 and Latin-1 alone; a sequence cut by a stream is kept), console.
import { global, host } from "../host"
import { site } from "../site"

export const bytesOf = (b: any): Uint8Array => (b instanceof Uint8Array ? b : ArrayBuffer.isView(b) ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b))

global.TextEncoder = class TextEncoder {
  get encoding() { return "utf-8" }
  encode(s = "") { return host.utf8(String(s).toWellFormed()) }
  encodeInto(s: string, into: Uint8Array) {
    let read = 0, written = 0
    for (const c of String(s)) {
      const b = host.utf8(c.toWellFormed())
      if (written + b.length > into.length) break
      into.set(b, written)
      written += b.length
      read += c.length
    }
    return { read, written }
  }
}
global.TextDecoder = class TextDecoder {
  #rest = new Uint8Array(0)
  #bom = true
  constructor(readonly encoding = "utf-8", readonly options: any = {}) {
    this.encoding = encoding.toLowerCase().replace(/^utf8$/, "utf-8")
    if (!["utf-8", "latin1", "ascii", "iso-8859-1", "windows-1252"].includes(this.encoding)) throw new RangeError(`TextDecoder: the encoding ${encoding} is not offered`)
  }
  get fatal() { return !!this.options.fatal }
  decode(input?: any, { stream = false } = {}) {
    let b = input === undefined ? new Uint8Array(0) : bytesOf(input)
    if (this.encoding !== "utf-8") return Array.from(b, (c) => String.fromCharCode(c)).join("")
    if (this.#rest.length) { const all = new Uint8Array(this.#rest.length + b.length); all.set(this.#rest); all.set(b, this.#rest.length); b = all }
    let cut = b.length // where an unfinished sequence begins
    if (stream) for (let k = 1; k <= 3 && k <= b.length; k++) {
      const c = b[b.length - k]
      if ((c & 0xc0) === 0x80) continue
      if (c >= 0xc0 && k < (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2)) cut = b.length - k
      break
    }
    this.#rest = b.slice(cut)
    let s = host.text(b.subarray(0, cut))
    if (this.fatal && s.includes("\ufffd") && host.utf8(s).length !== cut) throw new TypeError("The encoded data was not valid utf-8")
    if (this.#bom && !this.options.ignoreBOM && s.charCodeAt(0) === 0xfeff) s = s.slice(1)
    this.#bom = !stream
    return s
  }
}

const show = (v: unknown) => {
  if (typeof v === "string") return v
  if (v instanceof Error) return `${v.name}: ${v.message}\n${v.stack}`
  try { return JSON.stringify(v, (_, x) => (typeof x === "bigint" ? `${x}n` : x instanceof Map ? [...x] : x instanceof Set ? [...x] : x)) ?? String(v) } catch { return String(v) }
}
const line = (level: string) => (...args: unknown[]) => void host.call("log", JSON.stringify({ level, at: site() }), args.map(show).join(" "))
global.console = { log: line("info"), info: line("info"), debug: line("debug"), trace: line("debug"), warn: line("warn"), error: line("error"), dir: line("info"), time() {}, timeEnd() {}, group() {}, groupEnd() {}, assert(ok: any, ...a: any[]) { if (!ok) line("error")("assertion:", ...a) } }
