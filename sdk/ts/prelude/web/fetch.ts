// Headers, Request, Response, Blob, FormData, fetch.
import { bytesOf } from "./encoding"
import { global, host } from "../host"
import { CallError, exchange, signalsOf } from "../loop"
import { Interrupted } from "../sdk/key"
import { span } from "../sdk/time"
import { site } from "../site"


class Headers_ {
  #list: [string, string][] = []
  constructor(init?: any) {
    if (!init) return
    if (typeof init[Symbol.iterator] === "function") for (const [k, v] of init) this.append(k, v)
    else for (const k of Object.keys(init)) this.append(k, init[k])
  }
  raw() { return this.#list }
  append(k: string, v: any) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(k)) throw new TypeError(`Headers: the name ${JSON.stringify(k)} is invalid`)
    this.#list.push([String(k).toLowerCase(), String(v).trim()])
  }
  set(k: string, v: any) { this.delete(k); this.append(k, v) }
  get(k: string) { const all = this.#list.filter((h) => h[0] === k.toLowerCase()); return all.length ? all.map((h) => h[1]).join(", ") : null }
  has(k: string) { return this.#list.some((h) => h[0] === k.toLowerCase()) }
  delete(k: string) { this.#list = this.#list.filter((h) => h[0] !== k.toLowerCase()) }
  getSetCookie() { return this.#list.filter((h) => h[0] === "set-cookie").map((h) => h[1]) }
  entries(): IterableIterator<[string, string]> {
    const names = new Set(this.#list.map((h) => h[0]))
    if (names.size === this.#list.length) return this.#list.map((h) => [...h] as [string, string]).sort((a, b) => (a[0] < b[0] ? -1 : 1)).values() as any
    return this.merged()
  }
  *merged(): IterableIterator<[string, string]> {
    for (const k of [...new Set(this.#list.map((h) => h[0]))].sort())
      if (k === "set-cookie") for (const v of this.getSetCookie()) yield [k, v]
      else yield [k, this.get(k)!]
  }
  *keys() { for (const [k] of this.entries()) yield k }
  *values() { for (const [, v] of this.entries()) yield v }
  forEach(fn: any, self?: any) { for (const [k, v] of this.entries()) fn.call(self, v, k, this) }
  [Symbol.iterator]() { return this.entries() }
}
// Blob, File and FormData are there to be asked for; a real SDK takes their 40 lines.
class Blob_ { constructor(readonly parts: any[] = [], readonly options: any = {}) {} }
class File_ extends Blob_ {}
class FormData_ {}
const join = (parts: Uint8Array[]) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) { out.set(p, at); at += p.length }
  return out
}
const streamOf = (b: Uint8Array) => new (globalThis as any).ReadableStream({ type: "bytes", start(c: any) { if (b.length) c.enqueue(b.slice()); c.close() } } as any)

function extract(body: any): { type: string | null; bytes: Uint8Array | any } {
  if (typeof body === "string") return { type: "text/plain;charset=UTF-8", bytes: host.utf8(body.toWellFormed()) }
  if ((globalThis as any).URLSearchParams && body instanceof URLSearchParams) return { type: "application/x-www-form-urlencoded;charset=UTF-8", bytes: host.utf8(body.toString()) }
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return { type: null, bytes: bytesOf(body) }
  if (typeof body?.getReader === "function") return { type: null, bytes: body }
  return { type: "text/plain;charset=UTF-8", bytes: host.utf8(String(body)) }
}

class Body {
  bodyUsed = false
  #headers: any
  get headers(): Headers_ { return this.#headers instanceof Headers_ ? this.#headers : (this.#headers = new Headers_(this.#headers)) }
  set headers(h: any) { this.#headers = h }
  #bytes: any = null
  #stream: any
  take(body: any) {
    if (body == null) return
    const { type, bytes } = extract(body)
    this.#bytes = bytes
    if (type && !this.headers.has("content-type")) this.headers.set("content-type", type)
  }
  get body() { return this.#bytes == null ? null : (this.#stream ??= this.#bytes instanceof Uint8Array ? streamOf(this.#bytes) : this.#bytes) }
  async bytes(): Promise<Uint8Array> {
    if (this.bodyUsed) throw new TypeError("the body was read already")
    this.bodyUsed = this.#bytes != null
    if (this.#bytes == null) return new Uint8Array(0)
    if (this.#bytes instanceof Uint8Array && !this.#stream) return this.#bytes
    const parts: Uint8Array[] = [], reader = this.body.getReader()
    for (let r; !(r = await reader.read()).done; ) parts.push(bytesOf(r.value))
    return join(parts)
  }
  peek() { return this.#bytes }
  async text() { return host.text(await this.bytes()).replace(/^\ufeff/, "") }
  async json() { return JSON.parse(await this.text()) }
  async arrayBuffer() { return (await this.bytes()).slice().buffer }
}
// URLs that are their own normal form; the parser in JavaScript takes half a millisecond.
const plain = /^https?:\/\/[a-z][a-z0-9.-]*[a-z](:(?!80\/|443\/)[1-9][0-9]*)?\/(?!.*\/?\.\.?(\/|$))[A-Za-z0-9\/_~.-]*(\?[A-Za-z0-9&=_~.-]*)?$/
class Request_ extends Body {
  url: string; method: string; redirect: string; flawless: any
  #signal: any
  get signal() { return (this.#signal ??= new AbortController().signal) }
  given() { return this.#signal }
  constructor(input: any, init: any = {}) {
    super()
    const from = input instanceof Request_ ? input : undefined
    this.url = from ? from.url : plain.test(input) ? input : new URL(String(input)).href
    this.method = (init.method ?? from?.method ?? "GET").toUpperCase()
    this.headers = new Headers_(init.headers ?? from?.headers)
    this.#signal = init.signal ?? from?.given()
    this.redirect = init.redirect ?? from?.redirect ?? "follow"
    this.flawless = init.flawless ?? from?.flawless
    this.take(init.body ?? from?.peek())
  }
  clone() { return new Request_(this) }
}
class Response_ extends Body {
  status: number; statusText: string; url = ""; redirected = false; type = "default"
  constructor(body?: any, init: any = {}) {
    super()
    this.status = init.status ?? 200
    this.statusText = init.statusText ?? ""
    this.headers = init.headers instanceof Headers_ ? new Headers_(init.headers) : init.headers // made when they are asked for
    this.take(body)
  }
  get ok() { return this.status >= 200 && this.status < 300 }
  clone() { const r = new Response_(this.peek(), { status: this.status, statusText: this.statusText, headers: this.headers }); r.url = this.url; return r }
}

interface Retry { attempts?: number; initial?: number | string; factor?: number; max?: number | string; jitter?: number; statuses?: number[] }
interface Options {
  idempotent?: boolean
  within?: number | string
  onUnknown?: "stop" | "tell"
  timeout?: number | string
  limit?: number
  retry?: Retry
  retryFor?: number | string
}
const ms = (d: number | string | undefined) => (d === undefined ? undefined : Math.ceil(span(d)))

/** The head of an http call (docs/internals/formats.md). */
function headOf(q: Request_, o: Options) {
  const r = o.retry
  return {
    method: q.method,
    url: q.url,
    headers: q.headers.raw(),
    idempotent: o.idempotent,
    key_within_ms: ms(o.within),
    on_unknown: o.onUnknown,
    timeout_ms: ms(o.timeout),
    limit: o.limit,
    retry: r && { attempts: r.attempts, initial_ms: ms(r.initial), factor: r.factor, max_ms: ms(r.max), jitter: r.jitter, statuses: r.statuses },
    retry_for_ms: ms(o.retryFor),
    redirects: q.redirect === "follow" ? undefined : 0,
  }
}

async function fetch(input: any, init: any = {}): Promise<any> {
  const at = site(), q = new Request_(input, init)
  const signals = signalsOf(init.signal === null ? null : q.given())
  let a
  try {
    a = await exchange(headOf(q, q.flawless ?? {}), await q.bytes(), at, signals)
  } catch (e: any) {
    if (!(e instanceof CallError)) throw e
    if (e.kind === "interrupted" || e.kind === "unknown") throw new Interrupted(e.call, e as any)
    throw Object.assign(new TypeError(`fetch failed: ${e.message}`), { cause: e })
  }
  const r = new Response_([101, 204, 205, 304].includes(a.head.status) ? null : a.bytes(), { status: a.head.status, headers: a.head.headers })
  r.url = a.head.url
  a.close()
  return r
}
global.fetch = fetch
for (const [name, c] of Object.entries({ Headers: Headers_, Request: Request_, Response: Response_, Blob: Blob_, File: File_, FormData: FormData_ })) {
  Object.defineProperty(c, "name", { value: name })
  Object.defineProperty(c.prototype, Symbol.toStringTag, { value: name, configurable: true })
  global[name] = c
}
