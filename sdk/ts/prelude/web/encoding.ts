// TextEncoder, TextDecoder and their streams (https://encoding.spec.whatwg.org): UTF-8, UTF-16 and windows-1252. Legacy
// encodings beyond these are refused by name.
import { global, host } from "../host"
import { bytesOf, expose, isBytes, utf8 } from "./define"

class TextEncoder_ {
  get encoding() { return "utf-8" }
  encode(s: any = "") { return utf8(typeof s === "string" ? s : `${s}`) }
  encodeInto(source: string, into: Uint8Array) {
    if (!(into instanceof Uint8Array)) throw new TypeError("encodeInto: the second argument is not a Uint8Array")
    const s = `${source}`, all = utf8(s)
    if (all.length <= into.length) {
      into.set(all)
      return { read: s.length, written: all.length }
    }
    let end = into.length // of the bytes that fit: not in the middle of a character
    while (end > 0 && (all[end] & 0xc0) === 0x80) end--
    into.set(all.subarray(0, end))
    let read = 0
    for (let k = 0; k < end; k++) if ((all[k] & 0xc0) !== 0x80) read += all[k] >= 0xf0 ? 2 : 1
    return { read, written: end }
  }
}

const labels: Record<string, string[]> = {
  "utf-8": ["unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "utf-8", "utf8", "x-unicode20utf8"],
  "utf-16le": ["csunicode", "iso-10646-ucs-2", "ucs-2", "unicode", "unicodefeff", "utf-16", "utf-16le"],
  "utf-16be": ["unicodefffe", "utf-16be"],
  "windows-1252": ["ansi_x3.4-1968", "ascii", "cp1252", "cp819", "csisolatin1", "ibm819", "iso-8859-1", "iso-ir-100", "iso8859-1", "iso88591", "iso_8859-1", "iso_8859-1:1987", "l1", "latin1", "us-ascii", "windows-1252", "x-cp1252"],
}
const byLabel = new Map(Object.entries(labels).flatMap(([name, list]) => list.map((l) => [l, name] as const)))
const high1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ"

/** How many bytes at the end begin a character of UTF-8 that is not complete. */
function unfinished(b: Uint8Array): number {
  for (let k = 1; k <= 3 && k <= b.length; k++) {
    const c = b[b.length - k]
    if ((c & 0xc0) === 0x80) continue
    const length = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xc2 && c <= 0xdf ? 2 : 1
    if (k >= length) return 0
    // Only what can still become a character waits; a wrong second byte is an error at once.
    return k > 1 && !second(c, b[b.length - k + 1]) ? 0 : k
  }
  return 0
}
const second = (lead: number, c: number) => c >= (lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80) && c <= (lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf)

/** Decodes UTF-8 as the standard does: the longest beginning of a character becomes one U+FFFD. null with fatal on errors. */
function careful(b: Uint8Array, fatal: boolean): string | null {
  const out: string[] = []
  let start = 0
  for (let k = 0; k < b.length; ) {
    const c = b[k]
    const length = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0
    let n = 1
    if (length > 1 && k + 1 < b.length && second(c, b[k + 1])) for (n = 2; n < length && k + n < b.length && (b[k + n] & 0xc0) === 0x80; ) n++
    if (n === length) {
      k += n
      continue
    }
    if (fatal) return null
    out.push(host.text(b.subarray(start, k)), "\ufffd")
    start = k += n
  }
  out.push(host.text(b.subarray(start)))
  return out.join("")
}

/** The text of UTF-8 bytes; errors become U+FFFD. A byte order mark is kept. */
export function decodeUTF8(b: Uint8Array): string {
  const s = host.text(b)
  return s.includes("\ufffd") || !s.isWellFormed() ? careful(b, false)! : s
}

/** The same without a byte order mark, as bodies are decoded. */
export function decodeBody(b: Uint8Array): string {
  const s = decodeUTF8(b)
  return s.charCodeAt(0) === 0xfeff ? s.slice(1) : s
}

class TextDecoder_ {
  #encoding: string
  #fatal: boolean
  #keepMark: boolean
  #rest: Uint8Array = new Uint8Array(0)
  #lead = 0 // of UTF-16: a high surrogate that waits
  #begun = false // a byte order mark is no longer possible
  #streaming = false
  constructor(label: any = "utf-8", options: any = {}) {
    const wanted = `${label}`.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase()
    const name = byLabel.get(wanted)
    if (!name) throw new RangeError(`TextDecoder: the encoding ${JSON.stringify(`${label}`)} is not there; a workflow has utf-8, utf-16le, utf-16be and windows-1252`)
    if (options === null || options === undefined) options = {}
    if (typeof options !== "object" && typeof options !== "function") throw new TypeError("TextDecoder: the options are not an object")
    this.#encoding = name
    this.#fatal = !!options.fatal
    this.#keepMark = !!options.ignoreBOM
  }
  get encoding() { return this.#encoding }
  get fatal() { return this.#fatal }
  get ignoreBOM() { return this.#keepMark }
  decode(input?: any, options?: any): string {
    let b: Uint8Array
    if (input === undefined) b = new Uint8Array(0)
    else if (isBytes(input)) b = bytesOf(input)
    else throw new TypeError("TextDecoder.decode: the argument is not an ArrayBuffer or a view of one")
    if (!this.#streaming) {
      this.#rest = new Uint8Array(0)
      this.#lead = 0
      this.#begun = false
    }
    const stream = (this.#streaming = !!options?.stream)
    if (this.#encoding === "windows-1252") {
      const parts: string[] = []
      for (let k = 0; k < b.length; k += 4096) parts.push(String.fromCharCode(...b.subarray(k, k + 4096)))
      return parts.join("").replace(/[\x80-\x9f]/g, (c) => high1252[c.charCodeAt(0) - 0x80])
    }
    if (this.#rest.length) {
      const all = new Uint8Array(this.#rest.length + b.length)
      all.set(this.#rest)
      all.set(b, this.#rest.length)
      b = all
    }
    let s: string | null
    if (this.#encoding === "utf-8") {
      const keep = stream ? unfinished(b) : 0
      this.#rest = keep ? b.slice(b.length - keep) : new Uint8Array(0)
      const whole = keep ? b.subarray(0, b.length - keep) : b
      s = host.text(whole)
      if (s.includes("\ufffd") || !s.isWellFormed()) s = careful(whole, this.#fatal)
    } else s = this.#utf16(b, stream)
    if (s === null) {
      this.#streaming = false
      throw Object.assign(new TypeError(`The encoded data was not valid for encoding ${this.#encoding}`), { code: "ERR_ENCODING_INVALID_ENCODED_DATA" })
    }
    if (!this.#begun && s.length) {
      this.#begun = true
      if (!this.#keepMark && s.charCodeAt(0) === 0xfeff) s = s.slice(1)
    }
    return s
  }
  #utf16(b: Uint8Array, stream: boolean): string | null {
    const odd = b.length & 1, big = this.#encoding === "utf-16be" ? 0 : 1
    this.#rest = stream && odd ? b.slice(b.length - 1) : new Uint8Array(0)
    const units: number[] = this.#lead ? [this.#lead] : []
    for (let k = 0; k + 1 < b.length; k += 2) units.push((b[k + 1 - big] << 8) | b[k + big])
    this.#lead = 0
    const last = units[units.length - 1]
    if (stream && last >= 0xd800 && last < 0xdc00) this.#lead = units.pop()!
    const parts: string[] = []
    for (let k = 0; k < units.length; k += 4096) parts.push(String.fromCharCode(...units.slice(k, k + 4096)))
    const s = parts.join("") + (!stream && odd ? (last >= 0xd800 && last < 0xdc00 ? "" : "\ufffd") : "")
    if (this.#fatal && (!s.isWellFormed() || (!stream && odd))) return null
    return s.toWellFormed()
  }
}

// Streams of the two. The decoder's flush gives what is left.
class TextDecoderStream_ {
  #decoder: TextDecoder_
  #pipe: any
  constructor(label?: string, options?: any) {
    const d = (this.#decoder = new TextDecoder_(label, options))
    this.#pipe = new global.TransformStream({
      transform(chunk: any, c: any) { const s = d.decode(chunk === undefined ? null : chunk, { stream: true }); if (s) c.enqueue(s) },
      flush(c: any) { const s = d.decode(); if (s) c.enqueue(s) },
    })
  }
  get encoding() { return this.#decoder.encoding }
  get fatal() { return this.#decoder.fatal }
  get ignoreBOM() { return this.#decoder.ignoreBOM }
  get readable() { return this.#pipe.readable }
  get writable() { return this.#pipe.writable }
}
class TextEncoderStream_ {
  #pipe: any
  constructor() {
    let lead = "" // a high surrogate that waits for the next chunk
    this.#pipe = new global.TransformStream({
      transform(chunk: any, c: any) {
        let s = lead + `${chunk}`
        lead = ""
        if (/[\ud800-\udbff]$/.test(s)) {
          lead = s[s.length - 1]
          s = s.slice(0, -1)
        }
        if (s) c.enqueue(utf8(s))
      },
      flush(c: any) { if (lead) c.enqueue(utf8(lead)) },
    })
  }
  get encoding() { return "utf-8" }
  get readable() { return this.#pipe.readable }
  get writable() { return this.#pipe.writable }
}

expose({ TextEncoder: TextEncoder_, TextDecoder: TextDecoder_, TextDecoderStream: TextDecoderStream_, TextEncoderStream: TextEncoderStream_ })
