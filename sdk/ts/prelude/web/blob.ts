// Blob, File and FormData (https://w3c.github.io/FileAPI, https://xhr.spec.whatwg.org/#interface-formdata), and
// multipart/form-data (RFC 7578, https://html.spec.whatwg.org/#multipart-form-data). Their bytes are in memory.
import { global, host } from "../host"
import { bufferOf, bytesOf, expose, isBytes, join, need, text, utf8 } from "./define"
import { decodeUTF8 } from "./encoding"
import { iterator } from "./url"

const typeOf = (t: unknown) => { const s = `${t}`; return /[^\x20-\x7e]/.test(s) ? "" : s.toLowerCase() }

export class Blob_ {
  #bytes: Uint8Array
  #type: string
  constructor(parts?: any, options: any = {}) {
    if (options === null) options = {}
    if (typeof options !== "object" && typeof options !== "function") throw new TypeError("Blob: the options are not an object")
    if (parts !== undefined && (parts === null || (typeof parts !== "object" && typeof parts !== "function") || typeof parts[Symbol.iterator] !== "function")) throw new TypeError("Blob: the parts are not a sequence")
    const list: Uint8Array[] = []
    for (const p of parts ?? []) list.push(p instanceof Blob_ ? p.#bytes : isBytes(p) ? bytesOf(p).slice() : utf8(newlines(`${p}`, options.endings)))
    this.#bytes = list.length ? join(list) : new Uint8Array(0)
    if (options.endings !== undefined && options.endings !== "transparent" && options.endings !== "native") throw new TypeError(`Blob: endings cannot be ${options.endings}`)
    this.#type = options.type === undefined ? "" : typeOf(options.type)
  }
  get size() { return this.#bytes.length }
  get type() { return this.#type }
  slice(start: number = 0, end: number = this.#bytes.length, type?: string): Blob_ {
    const n = this.#bytes.length, at = (v: any) => { v = Math.trunc(Number(v)) || 0; return v < 0 ? Math.max(n + v, 0) : Math.min(v, n) }
    const b = new Blob_()
    b.#bytes = this.#bytes.subarray(at(start), Math.max(at(start), at(end)))
    b.#type = type === undefined ? "" : typeOf(type)
    return b
  }
  async text() { return decodeUTF8(this.#bytes) }
  async arrayBuffer() { return bufferOf(this.#bytes.slice()) }
  async bytes() { return this.#bytes.slice() }
  stream() { return streamOf(this.#bytes) }
  static { blobBytes = (b) => b.#bytes }
}
const newlines = (s: string, endings: unknown) => (endings === "native" ? s.replace(/\r\n?/g, "\n") : s)
/** The bytes of a blob, not copied. */
export let blobBytes: (b: Blob_) => Uint8Array

/** A byte stream of bytes. */
export function streamOf(b: Uint8Array): ReadableStream {
  return new global.ReadableStream({
    type: "bytes",
    pull(c: any) {
      if (b.length) c.enqueue(b.slice())
      c.close()
      c.byobRequest?.respond(0)
    },
  }, { highWaterMark: 0 })
}

export class File_ extends Blob_ {
  #name: string
  #modified: number
  constructor(parts: any, name: string, options: any = {}) {
    need(arguments, 2, "File")
    super(parts, options)
    this.#name = text(name)
    this.#modified = options?.lastModified === undefined ? Date.now() : Math.trunc(Number(options.lastModified)) || 0
  }
  get name() { return this.#name }
  get lastModified() { return this.#modified }
  get webkitRelativePath() { return "" }
}

type Entry = [string, string | File_]
export class FormData_ {
  #list: Entry[] = []
  constructor(form?: unknown) {
    if (form !== undefined) throw new TypeError("FormData: there are no forms in a workflow; call it without an argument")
  }
  #entry(args: IArguments, what: string): Entry {
    need(args, 2, what)
    const [name, value, file] = args as any
    if (!(value instanceof Blob_)) {
      if (args.length > 2) throw new TypeError(`${what}: a file name needs a Blob as the value`)
      return [text(name), text(value)]
    }
    if (value instanceof File_ && file === undefined) return [text(name), value]
    return [text(name), new File_([value], file === undefined ? "blob" : text(file), { type: value.type, lastModified: (value as any).lastModified })]
  }
  append(_name: string, _value: any, _file?: string) { this.#list.push(this.#entry(arguments, "FormData.append")) }
  set(name: string, _value: any, _file?: string) {
    const e = this.#entry(arguments, "FormData.set"), k = this.#list.findIndex((p) => p[0] === e[0])
    if (k < 0) this.#list.push(e)
    else {
      this.#list[k] = e
      this.#list = this.#list.filter((p, at) => at <= k || p[0] !== e[0])
    }
  }
  delete(name: string) { need(arguments, 1, "FormData.delete"); const n = text(name); this.#list = this.#list.filter((p) => p[0] !== n) }
  get(name: string) { need(arguments, 1, "FormData.get"); const n = text(name); return this.#list.find((p) => p[0] === n)?.[1] ?? null }
  getAll(name: string) { need(arguments, 1, "FormData.getAll"); const n = text(name); return this.#list.filter((p) => p[0] === n).map((p) => p[1]) }
  has(name: string) { need(arguments, 1, "FormData.has"); const n = text(name); return this.#list.some((p) => p[0] === n) }
  forEach(fn: any, self?: any) {
    if (typeof fn !== "function") throw new TypeError("FormData.forEach: the argument is not a function")
    for (const [n, v] of this.#list) fn.call(self, v, n, this)
  }
  entries() { return iterator<Entry, Entry>("FormData", () => this.#list, (p) => [p[0], p[1]]) }
  keys() { return iterator<string, Entry>("FormData", () => this.#list, (p) => p[0]) }
  values() { return iterator<string | File_, Entry>("FormData", () => this.#list, (p) => p[1]) }
}
Object.defineProperty(FormData_.prototype, Symbol.iterator, { value: FormData_.prototype.entries, writable: true, configurable: true })

const quote = (s: string) => s.replace(/\r\n?|\n/g, "%0D%0A").replace(/"/g, "%22")
const fileName = (s: string) => s.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22")

/** Encodes a form for a request. */
export function encodeMultipart(form: FormData_): { type: string; bytes: Uint8Array } {
  const r = new Uint8Array(12)
  host.random(r)
  const boundary = "----formdata-" + Array.from(r, (x) => x.toString(16).padStart(2, "0")).join("")
  const parts: Uint8Array[] = []
  for (const [name, value] of form.entries()) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"`
    if (typeof value === "string") parts.push(utf8(`${head}\r\n\r\n${value.replace(/\r\n?|\n/g, "\r\n")}\r\n`))
    else parts.push(utf8(`${head}; filename="${fileName(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`), blobBytes(value), utf8("\r\n"))
  }
  parts.push(utf8(`--${boundary}--\r\n`))
  return { type: `multipart/form-data; boundary=${boundary}`, bytes: join(parts) }
}

function find(b: Uint8Array, what: Uint8Array, from: number): number {
  for (let k = b.indexOf(what[0], from); k >= 0 && k + what.length <= b.length; k = b.indexOf(what[0], k + 1)) {
    let n = 1
    while (n < what.length && b[k + n] === what[n]) n++
    if (n === what.length) return k
  }
  return -1
}

/** Reads a form from a body. */
export function decodeMultipart(b: Uint8Array, boundary: string): FormData_ {
  const wrong = (why: string) => new TypeError(`the body is not multipart/form-data: ${why}`)
  const form = new FormData_(), mark = utf8("--" + boundary), blank = utf8("\r\n\r\n"), next = utf8("\r\n--" + boundary)
  let at = find(b, mark, 0)
  if (at < 0) throw wrong("it lacks the boundary")
  at += mark.length
  for (;;) {
    if (b[at] === 45 && b[at + 1] === 45) return form // the last boundary ends with two dashes
    while (b[at] === 32 || b[at] === 9) at++
    if (b[at] !== 13 || b[at + 1] !== 10) throw wrong("a boundary is not followed by a line")
    const headEnd = find(b, blank, at)
    if (headEnd < 0) throw wrong("a part has no end of its header")
    const end = find(b, next, headEnd + 2)
    if (end < 0) throw wrong("a part has no end")
    let name: string | undefined, file: string | undefined, type = "text/plain"
    for (const line of decodeUTF8(b.subarray(at + 2, headEnd)).split("\r\n")) {
      const colon = line.indexOf(":")
      const key = line.slice(0, colon).trim().toLowerCase(), value = line.slice(colon + 1).trim()
      if (key === "content-type") type = value
      if (key !== "content-disposition") continue
      if (!/^form-data\s*(;|$)/i.test(value)) throw wrong("a part is no form-data")
      for (const m of value.matchAll(/;\s*(name|filename)\s*=\s*(?:"((?:\\"|[^"])*)"|([^;\s]*))/gi)) {
        const v = (m[2] ?? m[3]).replace(/%0D/gi, "\r").replace(/%0A/gi, "\n").replace(/%22/g, '"').replace(/\\"/g, '"')
        if (m[1].toLowerCase() === "name") name = v
        else file = v
      }
    }
    if (name === undefined) throw wrong("a part has no name")
    const content = b.subarray(Math.min(headEnd + 4, end), end)
    if (file === undefined) form.append(name, decodeUTF8(content))
    else form.append(name, new File_([content], file, { type }))
    at = end + next.length
  }
}

expose({ Blob: Blob_, File: File_, FormData: FormData_ })
