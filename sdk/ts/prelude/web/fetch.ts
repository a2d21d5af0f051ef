// Request, Response and fetch (https://fetch.spec.whatwg.org). Bodies are in memory; a stream of a request is read first.
import { CallError, exchange, signalsOf } from "../loop"
import { Interrupted } from "../sdk/key"
import { span } from "../sdk/time"
import { site } from "../site"
import { Blob_, blobBytes, decodeMultipart, encodeMultipart, FormData_, streamOf } from "./blob"
import { bufferOf, bytesOf, expose, isBytes, join, text, utf8 } from "./define"
import { decodeBody } from "./encoding"
import { AbortSignal_ } from "./event"
import { fixHeaders, headerList, Headers_, headersOf, type Pair } from "./headers"
import { normal, parseForm, URLSearchParams_ } from "./url"

type Content = Uint8Array | ReadableStream

/** The bytes of a body and the type that it gives a request or response. */
function extract(body: any): { type: string | null; content: Content } {
  if (typeof body === "string") return { type: "text/plain;charset=UTF-8", content: utf8(body) }
  if (isBytes(body)) return { type: null, content: bytesOf(body).slice() }
  if (body instanceof Blob_) return { type: body.type || null, content: blobBytes(body) }
  if (body instanceof FormData_) {
    const { type, bytes } = encodeMultipart(body)
    return { type, content: bytes }
  }
  if (body instanceof URLSearchParams_) return { type: "application/x-www-form-urlencoded;charset=UTF-8", content: utf8(body.toString()) }
  if (body instanceof ReadableStream) {
    if (body.locked) throw new TypeError("the stream of a body is locked: something else reads it")
    return { type: null, content: body }
  }
  return { type: "text/plain;charset=UTF-8", content: utf8(text(body)) }
}

class Body {
  #content: Content | null = null
  #stream: ReadableStream | undefined // once somebody has asked for it
  #used = false
  #headers: Headers_ | Pair[] = []
  get headers(): Headers_ {
    return this.#headers instanceof Headers_ ? this.#headers : (this.#headers = headersOf(this.#headers))
  }
  get body(): ReadableStream | null {
    if (this.#content === null) return null
    return (this.#stream ??= this.#content instanceof Uint8Array ? streamOf(this.#content) : this.#content)
  }
  get bodyUsed() {
    return this.#used || !!(this.#stream as any)?.locked
  }
  async bytes(): Promise<Uint8Array> {
    return (await take(this)).slice()
  }
  async arrayBuffer() {
    return bufferOf((await take(this)).slice())
  }
  async blob() {
    const type = this.headers.get("content-type") ?? ""
    return new Blob_([await take(this)], { type })
  }
  async text() {
    return decodeBody(await take(this))
  }
  async json() {
    return JSON.parse(decodeBody(await take(this)))
  }
  async formData() {
    const type = this.headers.get("content-type") ?? ""
    const boundary = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]*)"|([^;\s]*))/i.exec(type)
    if (boundary) return decodeMultipart(await take(this), boundary[1] ?? boundary[2])
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) throw new TypeError(`a body of type ${JSON.stringify(type)} is not a form`)
    const form = new FormData_()
    for (const [name, value] of parseForm(decodeBody(await take(this)))) form.append(name, value)
    return form
  }
  static {
    setHeaders = (b, h) => {
      b.#headers = h
    }
    listOf = (b) => (b.#headers instanceof Headers_ ? headerList(b.#headers) : b.#headers)
    setBody = (b, content) => {
      b.#content = content
    }
    hasBody = (b) => b.#content !== null
    take = async (b) => {
      if (b.bodyUsed) throw new TypeError("the body was read already")
      if (b.#content === null) return new Uint8Array(0)
      b.#used = true
      if (b.#content instanceof Uint8Array) return b.#content
      const parts: Uint8Array[] = [], reader = b.#content.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return parts.length ? join(parts) : new Uint8Array(0)
        if (!(value instanceof Uint8Array)) throw new TypeError("a chunk of the body is not a Uint8Array")
        parts.push(value)
      }
    }
    copyBody = (from, to) => {
      if (from.bodyUsed) throw new TypeError("the body was read already: clone before you read it")
      if (from.#content === null || from.#content instanceof Uint8Array) to.#content = from.#content
      else {
        const [a, b] = from.#content.tee()
        from.#content = from.#stream = a
        to.#content = b
      }
    }
    moveBody = (from, to) => {
      if (from.bodyUsed) throw new TypeError("the body was read already")
      to.#content = from.#content
      from.#used = from.#content !== null
    }
  }
}
let setHeaders: (b: Body, h: Headers_ | Pair[]) => void
let listOf: (b: Body) => Pair[]
let setBody: (b: Body, content: Content | null) => void
let hasBody: (b: Body) => boolean
let take: (b: Body) => Promise<Uint8Array>
let copyBody: (from: Body, to: Body) => void
let moveBody: (from: Body, to: Body) => void

// URLs that are in normal form already, which the parser need not look at.
const plain = /^https?:\/\/[a-z][a-z0-9.-]*[a-z](:(?!80\/|443\/)[1-9][0-9]*)?\/(?!.*\/?\.\.?(\/|$))[A-Za-z0-9\/_~.-]*(\?[A-Za-z0-9&=_~.-]*)?$/

function urlOf(input: unknown): string {
  const s = text(input)
  if (plain.test(s)) return s
  const u = normal(s)
  if (!u) throw new TypeError(`${JSON.stringify(s)} is not an absolute URL`)
  if (u.user) throw new TypeError(`${JSON.stringify(s.replace(/\/\/.*@/, "//…@"))} has a user or password: give them in a header`)
  return u.href
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const standard = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"])

function methodOf(m: unknown): string {
  const s = `${m}`, upper = s.toUpperCase()
  if (!token.test(s)) throw new TypeError(`${JSON.stringify(s)} is not a method`)
  if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") throw new TypeError(`the method ${upper} is not allowed`)
  return standard.has(upper) ? upper : s
}

class Request_ extends Body {
  #url: string
  #method: string
  #redirect: string
  #signal: AbortSignal_ | null | undefined
  #flawless: any
  constructor(input: any, init: any = {}) {
    super()
    if (init === null || init === undefined) init = {}
    const from: Request_ | undefined = input instanceof Request_ ? input : undefined
    this.#url = from ? from.#url : urlOf(input)
    this.#method = init.method !== undefined ? methodOf(init.method) : (from?.#method ?? "GET")
    this.#redirect = init.redirect ?? from?.#redirect ?? "follow"
    if (!["follow", "error", "manual"].includes(this.#redirect)) throw new TypeError(`redirect cannot be ${JSON.stringify(this.#redirect)}`)
    this.#signal = init.signal !== undefined ? init.signal : from?.#signal
    if (this.#signal !== undefined && this.#signal !== null && !(this.#signal instanceof AbortSignal_)) throw new TypeError("signal is not an AbortSignal")
    this.#flawless = init.flawless ?? from?.#flawless
    if (init.headers !== undefined) setHeaders(this, new Headers_(init.headers))
    else if (from) setHeaders(this, listOf(from).map((p): Pair => [p[0], p[1]]))
    if (init.body !== undefined && init.body !== null) {
      if (this.#method === "GET" || this.#method === "HEAD") throw new TypeError(`a request with the method ${this.#method} cannot have a body`)
      const { type, content } = extract(init.body)
      setBody(this, content)
      if (type && !listOf(this).some((p) => p[0] === "content-type")) listOf(this).push(["content-type", type])
    } else if (from && hasBody(from)) moveBody(from, this)
  }
  get url() { return this.#url }
  get method() { return this.#method }
  get redirect() { return this.#redirect }
  get signal() { return (this.#signal ??= new AbortController().signal as any) }
  get cache() { return "default" }
  get credentials() { return "same-origin" }
  get destination() { return "" }
  get duplex() { return "half" }
  get integrity() { return "" }
  get keepalive() { return false }
  get mode() { return "cors" }
  get referrer() { return "about:client" }
  get referrerPolicy() { return "" }
  clone(): Request_ {
    const r = new Request_(this.#url, { method: this.#method, headers: listOf(this), redirect: this.#redirect, signal: this.#signal, flawless: this.#flawless })
    copyBody(this, r)
    return r
  }
  static {
    optionsOf = (q) => q.#flawless ?? {}
    givenSignal = (q) => q.#signal
  }
}
let optionsOf: (q: Request_) => Options
let givenSignal: (q: Request_) => AbortSignal_ | null | undefined

const withoutBody = [101, 103, 204, 205, 304]

class Response_ extends Body {
  #status = 200
  #statusText = ""
  #url = ""
  #type = "default"
  #redirected = false
  constructor(body?: any, init: any = {}) {
    super()
    if (init === null || init === undefined) init = {}
    if (init.status !== undefined) {
      const s = Math.trunc(Number(init.status))
      if (!(s >= 200 && s <= 599)) throw new RangeError(`the status ${init.status} is not in 200 to 599`)
      this.#status = s
    }
    if (init.statusText !== undefined) {
      this.#statusText = `${init.statusText}`
      if (/[^\t\x20-\x7e\x80-\xff]/.test(this.#statusText)) throw new TypeError("statusText is not a reason phrase")
    }
    if (init.headers !== undefined) setHeaders(this, new Headers_(init.headers))
    if (body === undefined || body === null) return
    if (withoutBody.includes(this.#status)) throw new TypeError(`a response with the status ${this.#status} has no body`)
    const { type, content } = extract(body)
    setBody(this, content)
    if (type && !listOf(this).some((p) => p[0] === "content-type")) listOf(this).push(["content-type", type])
  }
  get status() { return this.#status }
  get statusText() { return this.#statusText }
  get ok() { return this.#status >= 200 && this.#status < 300 }
  get url() { return this.#url }
  get type() { return this.#type }
  get redirected() { return this.#redirected }
  clone(): Response_ {
    const r = new Response_()
    copyBody(this, r)
    setHeaders(r, listOf(this).map((p): Pair => [p[0], p[1]]))
    r.#status = this.#status
    r.#statusText = this.#statusText
    r.#url = this.#url
    r.#type = this.#type
    r.#redirected = this.#redirected
    return r
  }
  static error() {
    const r = new Response_()
    r.#type = "error"
    r.#status = 0
    fixHeaders(r.headers)
    return r
  }
  static redirect(url: string, status = 302) {
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`${status} is not a status of a redirect`)
    const r = new Response_(null, { headers: { location: urlOf(url) } })
    r.#status = status
    fixHeaders(r.headers)
    return r
  }
  static json(data: unknown, init: any = {}) {
    const body = JSON.stringify(data)
    if (body === undefined) throw new TypeError("the data cannot be written as JSON")
    const headers = new Headers_(init?.headers)
    if (!headers.has("content-type")) headers.set("content-type", "application/json")
    return new Response_(body, { ...init, headers })
  }
  static {
    answerOf = (head, body, asked) => {
      const r = new Response_()
      r.#status = head.status
      r.#type = "basic"
      r.#url = head.url ?? asked
      r.#redirected = r.#url !== asked
      setHeaders(r, (head.headers ?? []).map((p: Pair): Pair => [p[0].toLowerCase(), p[1]]))
      if (!withoutBody.includes(head.status)) setBody(r, body)
      return r
    }
  }
}
let answerOf: (head: any, body: Content, asked: string) => Response_

/** A body whose reading fails. */
const unreadable = (e: Error): ReadableStream => new ReadableStream({ pull: (c) => c.error(e) })

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
    headers: listOf(q),
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

async function fetch(input: any, init?: any): Promise<Response_> {
  const at = site(), q = new Request_(input, init), signals = signalsOf(givenSignal(q) as any)
  let a
  try {
    a = await exchange(headOf(q, optionsOf(q)), hasBody(q) ? await take(q) : undefined, at, signals)
  } catch (e: any) {
    if (!(e instanceof CallError)) throw e
    // These must not look like a failure to connect, which libraries answer by sending the request again.
    if (e.kind === "interrupted") throw new Interrupted(e.call, e as any)
    if (e.kind === "unknown" || e.kind === "told") throw e
    if (e.kind === "too_large" && e.status) return answerOf({ status: e.status, url: q.url }, unreadable(e), q.url)
    throw Object.assign(new TypeError(`fetch failed: ${e.message}`), { cause: e })
  }
  const r = answerOf(a.head, a.bytes(), q.url)
  a.close()
  if (q.redirect === "error" && r.status >= 300 && r.status < 400 && r.status !== 304) throw new TypeError(`fetch failed: ${q.url} redirects, and redirect is "error"`)
  return r
}

expose({ Request: Request_, Response: Response_, fetch })
