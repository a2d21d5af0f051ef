// URL and URLSearchParams (https://url.spec.whatwg.org). A URL in normal form, as nearly all are, is taken apart by one
// regular expression; the state machine of the standard is for the others.
import { expose, need, text, utf8 } from "./define"
import { host } from "../host"
import { toASCII } from "./idna"

interface Parts {
  scheme: string // without the colon
  username: string
  password: string
  host: string | null
  port: string // "" is none or the default one
  path: string // serialized
  opaque: boolean // the path is no list of segments
  query: string | null
  fragment: string | null
}

const ports: Record<string, string> = { "http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": "" }
const special = (scheme: string) => ports[scheme] !== undefined

// Percent-encode sets: what is not in the set is encoded.
const inControl = /[^\x20-\x7e]/gu
const inFragment = /[^!#-;=?-_a-~]/gu
const inQuery = /[^!$-;=?-~]/gu
const inSpecialQuery = /[^!$-&(-;=?-~]/gu
const inPath = /[^!$-;=@-\]_a-z|~]/gu
const inUser = /[^!$-.0-9A-Z_a-z~]/gu
const hex = (c: number) => (c < 16 ? "%0" : "%") + c.toString(16).toUpperCase()
const encodeOne = (c: string) => (c.charCodeAt(0) < 0x80 ? hex(c.charCodeAt(0)) : encodeURIComponent(c))
const encode = (s: string, set: RegExp) => s.replace(set, encodeOne)

/** Percent-decodes to bytes. */
function decodeBytes(s: string): Uint8Array {
  const b = utf8(s)
  let n = 0
  for (let k = 0; k < b.length; k++, n++) {
    if (b[k] === 37 && k + 2 < b.length) {
      const v = digit(b[k + 1]) * 16 + digit(b[k + 2])
      if (v >= 0) {
        b[n] = v
        k += 2
        continue
      }
    }
    b[n] = b[k]
  }
  return b.subarray(0, n)
}

function digit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48
  c |= 32
  return c >= 97 && c <= 102 ? c - 87 : -1000
}

/** The text that percent-encoded UTF-8 stands for. */
export const decode = (s: string): string => (s.includes("%") ? host.text(decodeBytes(s)).toWellFormed() : s)

// https://url.spec.whatwg.org/#host-parsing; null is failure.
function parseHost(s: string, isSpecial: boolean): string | null {
  if (s[0] === "[") return s.endsWith("]") ? parseIPv6(s.slice(1, -1)) : null
  if (!isSpecial) return /[\0\t\n\r #/:<>?@[\\\]^|]/.test(s) ? null : encode(s, inControl)
  const domain = toASCII(decode(s))
  if (domain === null || domain === "" || /[\0-\x20#%/:<>?@[\\\]^|\x7f]/.test(domain)) return null
  return endsInNumber(domain) ? parseIPv4(domain) : domain
}

function endsInNumber(s: string): boolean {
  const labels = s.split(".")
  if (labels[labels.length - 1] === "" && labels.length > 1) labels.pop()
  const last = labels[labels.length - 1]
  return /^(\d+|0x[0-9a-f]*)$/i.test(last)
}

function parseIPv4(s: string): string | null {
  const labels = s.split(".")
  if (labels[labels.length - 1] === "" && labels.length > 1) labels.pop()
  if (labels.length > 4) return null
  const numbers: number[] = []
  for (const l of labels) {
    let n: number
    if (/^0x[0-9a-f]*$/i.test(l)) n = l.length === 2 ? 0 : parseInt(l.slice(2), 16)
    else if (/^0[0-7]*$/.test(l)) n = l.length === 1 ? 0 : parseInt(l.slice(1), 8)
    else if (/^[1-9]\d*$/.test(l)) n = parseInt(l, 10)
    else return null
    numbers.push(n)
  }
  const last = numbers.pop()!
  if (numbers.some((n) => n > 255) || last >= 256 ** (4 - numbers.length)) return null
  let ip = last
  numbers.forEach((n, k) => (ip += n * 256 ** (3 - k)))
  return [24, 16, 8, 0].map((shift) => Math.floor(ip / 2 ** shift) % 256).join(".")
}

function parseIPv6(s: string): string | null {
  const halves = s.split("::")
  if (halves.length > 2) return null
  const pieces = (half: string, isLast: boolean): number[] | null => {
    if (half === "") return []
    const out: number[] = [], list = half.split(":")
    for (let k = 0; k < list.length; k++) {
      const p = list[k]
      if (p.includes(".")) {
        const quads = p.split(".")
        if (!isLast || k !== list.length - 1 || quads.length !== 4 || !quads.every((q) => /^(0|[1-9]\d{0,2})$/.test(q) && Number(q) < 256)) return null
        out.push(Number(quads[0]) * 256 + Number(quads[1]), Number(quads[2]) * 256 + Number(quads[3]))
      } else if (/^[0-9a-f]{1,4}$/i.test(p)) out.push(parseInt(p, 16))
      else return null
    }
    return out
  }
  const before = pieces(halves[0], halves.length === 1), after = halves.length === 2 ? pieces(halves[1], true) : []
  if (!before || !after) return null
  const missing = 8 - before.length - after.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const all = [...before, ...Array(missing).fill(0), ...after]
  let start = -1, longest = 1 // of zeros to be left out
  for (let k = 0; k < 8; k++) {
    let n = 0
    while (k + n < 8 && all[k + n] === 0) n++
    if (n > longest) [start, longest] = [k, n]
    k += n
  }
  const show = (list: number[]) => list.map((n) => n.toString(16)).join(":")
  return start < 0 ? `[${show(all)}]` : `[${show(all.slice(0, start))}::${show(all.slice(start + longest))}]`
}

// Path segments.
const isDot = (s: string) => s === "." || (s.length === 3 && s.toLowerCase() === "%2e")
const isDotDot = (s: string) => s.length <= 6 && s.length >= 2 && /^(\.|%2e)(\.|%2e)$/i.test(s)
const isDrive = (s: string) => /^[A-Za-z][:|]$/.test(s)
const segments = (path: string) => (path === "" ? [] : path.slice(1).split("/"))

function shorten(list: string[], scheme: string) {
  if (scheme === "file" && list.length === 1 && /^[A-Za-z]:$/.test(list[0])) return
  list.pop()
}

/** Appends the segments of a path to a list, as the path state does, and returns the new path. */
function parsePath(s: string, list: string[], scheme: string): string {
  const parts = (special(scheme) ? s.replace(/\\/g, "/") : s).split("/")
  parts.forEach((raw, k) => {
    const last = k === parts.length - 1
    let p = encode(raw, inPath)
    if (isDotDot(p)) {
      shorten(list, scheme)
      if (last) list.push("")
    } else if (isDot(p)) {
      if (last) list.push("")
    } else {
      if (scheme === "file" && list.length === 0 && isDrive(p)) p = p[0] + ":"
      list.push(p)
    }
  })
  return list.length ? "/" + list.join("/") : ""
}

// The path state, from its start state: a slash is optional.
function pathFrom(s: string, list: string[], scheme: string): string {
  if (s[0] === "/" || (special(scheme) && s[0] === "\\")) return parsePath(s.slice(1), list, scheme)
  return parsePath(s, list, scheme)
}

const fast = /^(https?):\/\/((?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*|(?:(?:[1-9]?\d|1\d\d|2[0-4]\d|25[0-5])\.){3}(?:[1-9]?\d|1\d\d|2[0-4]\d|25[0-5]))(?::([1-9]\d{0,3}))?(?:(\/[A-Za-z0-9_.~!$&()*+,;:=@|'%\/-]*)(\?[A-Za-z0-9_.~!$&()*+,;:=@|%\/?{}-]*)?(#[A-Za-z0-9_.~!$&()*+,;:=@|%\/?{}-]*)?)?$/

function quick(s: string): Parts | null {
  const m = fast.exec(s)
  if (!m) return null
  const path = m[4] ?? "/"
  if (path.includes("/.") || (path.includes("%2") && /%2e/i.test(path))) return null
  const port = m[3] ?? ""
  return {
    scheme: m[1], username: "", password: "", host: m[2], port: port === ports[m[1]] ? "" : port, path, opaque: false,
    query: m[5] === undefined ? null : m[5].slice(1), fragment: m[6] === undefined ? null : m[6].slice(1),
  }
}

/** Parses a URL; null is failure. */
function parse(input: string, base?: Parts): Parts | null {
  const known = quick(input)
  if (known) return known
  let s = input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "")
  let fragment: string | null = null, query: string | null = null
  const hash = s.indexOf("#")
  if (hash >= 0) {
    fragment = encode(s.slice(hash + 1), inFragment)
    s = s.slice(0, hash)
  }
  const m = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(s)
  const scheme = m ? m[1].toLowerCase() : base?.scheme
  if (scheme === undefined) return null
  const isSpecial = special(scheme)
  const mark = s.indexOf("?") // everywhere below, the first ? begins the query
  const cut = () => {
    if (mark < 0) return
    query = encode(s.slice(mark + 1), isSpecial ? inSpecialQuery : inQuery)
    s = s.slice(0, mark)
  }
  const isSlash = (c: string) => c === "/" || (isSpecial && c === "\\")
  const make = (p: Partial<Parts>): Parts => ({ scheme, username: "", password: "", host: null, port: "", path: "", opaque: false, query, fragment, ...p })
  let rest: string
  if (m) {
    cut()
    rest = s.slice(m[0].length)
    if (scheme === "file") return parseFile(rest, base?.scheme === "file" ? base : undefined, make, mark >= 0)
    if (isSpecial) {
      if (base && base.scheme === scheme && !/^[/\\]{2}/.test(rest) && rest[0] !== undefined && !(rest.startsWith("/") && rest[1] === "/")) {
        if (!rest.startsWith("//")) return relative(rest)
      } else if (base && base.scheme === scheme && rest === "") return relative(rest)
      return authority(rest.replace(/^[/\\]*/, ""))
    }
    if (rest.startsWith("//")) return authority(rest.slice(2))
    if (rest[0] === "/") return make({ path: pathFrom(rest, [], scheme) })
    return make({ path: opaquePath(rest, query, fragment), opaque: true })
  }
  if (!base) return null
  if (base.opaque) return s === "" && hash >= 0 ? { ...base, fragment } : null
  cut()
  if (scheme === "file") return parseFile(s, base, make, mark >= 0)
  return relative(s)

  function relative(s: string): Parts | null {
    const b = base!
    if (isSlash(s[0])) {
      if (isSlash(s[1])) return authority(isSpecial ? s.replace(/^[/\\]*/, "") : s.slice(2))
      return make({ username: b.username, password: b.password, host: b.host, port: b.port, path: pathFrom(s, [], scheme!) })
    }
    const same = { username: b.username, password: b.password, host: b.host, port: b.port }
    if (s === "") return make({ ...same, path: b.path, query: mark >= 0 ? query : b.query })
    const list = segments(b.path)
    shorten(list, scheme!)
    return make({ ...same, path: parsePath(s, list, scheme!) })
  }

  function authority(s: string): Parts | null {
    let end = s.search(isSpecial ? /[/\\]/ : /\//)
    if (end < 0) end = s.length
    let where = s.slice(0, end), username = "", password = ""
    const at = where.lastIndexOf("@")
    if (at >= 0) {
      const user = where.slice(0, at), colon = user.indexOf(":")
      username = encodeUser(colon < 0 ? user : user.slice(0, colon))
      if (colon >= 0) password = encodeUser(user.slice(colon + 1))
      where = where.slice(at + 1)
      if (where === "") return null
    }
    const h = hostAndPort(where, scheme!)
    if (!h) return null
    return make({ username, password, ...h, path: end < s.length || isSpecial ? pathFrom(s.slice(end), [], scheme!) : "" })
  }
}

const encodeUser = (s: string) => encode(s, inUser)

function opaquePath(s: string, query: string | null, fragment: string | null): string {
  s = encode(s, inControl)
  // A space at the end before a query or fragment is encoded, so that it survives.
  return (query !== null || fragment !== null) && s.endsWith(" ") ? s.slice(0, -1) + "%20" : s
}

function hostAndPort(where: string, scheme: string): { host: string; port: string } | null {
  const isSpecial = special(scheme)
  const m = /^((?:\[[^\]]*\]?|[^:[])*)(?::(.*))?$/s.exec(where)
  if (!m) return null
  if (m[1] === "" && (isSpecial || m[2] !== undefined)) return null
  const h = m[1] === "" ? "" : parseHost(m[1], isSpecial)
  if (h === null) return null
  const port = m[2] === undefined ? "" : parsePort(m[2], scheme)
  return port === null ? null : { host: h, port }
}

function parsePort(s: string, scheme: string): string | null {
  if (s === "") return ""
  if (!/^\d+$/.test(s) || Number(s) > 65535) return null
  return String(Number(s)) === ports[scheme] ? "" : String(Number(s))
}

const startsWithDrive = (s: string) => /^[A-Za-z][:|]([/\\]|$)/.test(s)

// The file states.
function parseFile(s: string, base: Parts | undefined, make: (p: Partial<Parts>) => Parts, hasQuery: boolean): Parts | null {
  const slash = (c: string) => c === "/" || c === "\\"
  if (slash(s[0])) {
    if (slash(s[1])) {
      s = s.slice(2)
      let end = s.search(/[/\\]/)
      if (end < 0) end = s.length
      const name = s.slice(0, end)
      if (isDrive(name)) return make({ host: "", path: parsePath(s, [], "file") })
      if (name === "") return make({ host: "", path: pathFrom(s, [], "file") })
      const h = parseHost(name, true)
      return h === null ? null : make({ host: h === "localhost" ? "" : h, path: pathFrom(s.slice(end), [], "file") })
    }
    const list: string[] = []
    if (base && !startsWithDrive(s.slice(1))) {
      const first = segments(base.path)[0]
      if (first !== undefined && /^[A-Za-z]:$/.test(first)) list.push(first)
    }
    return make({ host: base ? base.host : "", path: parsePath(s.slice(1), list, "file") })
  }
  if (!base) return make({ host: "", path: parsePath(s, [], "file") })
  if (s === "") return make({ host: base.host, path: base.path, ...(hasQuery ? {} : { query: base.query }) })
  if (startsWithDrive(s)) return make({ host: base.host, path: parsePath(s, [], "file") })
  const list = segments(base.path)
  shorten(list, "file")
  return make({ host: base.host, path: parsePath(s, list, "file") })
}

function serialize(p: Parts, withFragment = true): string {
  let s = p.scheme + ":"
  if (p.host !== null) {
    s += "//"
    if (p.username || p.password) s += p.username + (p.password ? ":" + p.password : "") + "@"
    s += p.host
    if (p.port) s += ":" + p.port
  } else if (!p.opaque && p.path.startsWith("//")) s += "/."
  s += p.path
  if (p.query !== null) s += "?" + p.query
  if (withFragment && p.fragment !== null) s += "#" + p.fragment
  return s
}

function origin(p: Parts): string {
  if (p.scheme === "blob") {
    const inner = parse(p.path)
    return inner && (inner.scheme === "http" || inner.scheme === "https") ? origin(inner) : "null"
  }
  if (!special(p.scheme) || p.scheme === "file") return "null"
  return `${p.scheme}://${p.host}${p.port ? ":" + p.port : ""}`
}

let link: (of: URLSearchParams_, to: URL_) => void
let reread: (of: URLSearchParams_, query: string) => void

class URL_ {
  #parts: Parts
  #href: string | undefined
  #params: URLSearchParams_ | undefined

  constructor(url: string, base?: string) {
    need(arguments, 1, "URL")
    const p = parseWith(url, base)
    if (!p) throw Object.assign(new TypeError(`Invalid URL: ${JSON.stringify(String(url))}${base === undefined ? "" : ` with base ${JSON.stringify(String(base))}`}`), { code: "ERR_INVALID_URL", input: String(url) })
    this.#parts = p
  }
  static parse(url: string, base?: string): URL_ | null {
    need(arguments, 1, "URL.parse")
    return parseWith(url, base) ? new URL_(url, base) : null
  }
  static canParse(url: string, base?: string): boolean {
    need(arguments, 1, "URL.canParse")
    return parseWith(url, base) !== null
  }
  get href() { return (this.#href ??= serialize(this.#parts)) }
  set href(v: string) {
    const p = parse(text(v))
    if (!p) throw new TypeError(`Invalid URL: ${JSON.stringify(String(v))}`)
    this.#parts = p
    this.#changed()
    if (this.#params) reread(this.#params, p.query ?? "")
  }
  #changed() { this.#href = undefined }
  get origin() { return origin(this.#parts) }
  get protocol() { return this.#parts.scheme + ":" }
  set protocol(v: string) {
    const p = this.#parts
    const m = /^([A-Za-z][A-Za-z0-9+.-]*)(:|$)/.exec(text(v).replace(/[\t\n\r]/g, ""))
    if (!m) return
    const scheme = m[1].toLowerCase()
    if (special(scheme) !== special(p.scheme) || (scheme === "file" && (p.username || p.password || p.port)) || (p.scheme === "file" && p.host === "")) return
    p.scheme = scheme
    if (p.port === ports[scheme]) p.port = ""
    this.#changed()
  }
  #noUser() { const p = this.#parts; return p.host === null || p.host === "" || p.scheme === "file" }
  get username() { return this.#parts.username }
  set username(v: string) {
    if (this.#noUser()) return
    this.#parts.username = encodeUser(text(v))
    this.#changed()
  }
  get password() { return this.#parts.password }
  set password(v: string) {
    if (this.#noUser()) return
    this.#parts.password = encodeUser(text(v))
    this.#changed()
  }
  get host() { const p = this.#parts; return p.host === null ? "" : p.port ? `${p.host}:${p.port}` : p.host }
  set host(v: string) { this.#setHost(text(v), true) }
  get hostname() { return this.#parts.host ?? "" }
  set hostname(v: string) { this.#setHost(text(v), false) }
  #setHost(v: string, withPort: boolean) {
    const p = this.#parts
    if (p.opaque) return
    const isSpecial = special(p.scheme)
    v = v.replace(/[\t\n\r]/g, "")
    const end = v.search(isSpecial ? /[/\\?#]/ : /[/?#]/)
    if (end >= 0) v = v.slice(0, end)
    if (p.scheme === "file") {
      if (v === "") p.host = ""
      else {
        const h = parseHost(v, true)
        if (h === null) return
        p.host = h === "localhost" ? "" : h
      }
      return this.#changed()
    }
    const m = /^((?:\[[^\]]*\]?|[^:[])*)(:(.*))?$/s.exec(v)
    if (!m) return
    if (m[2] !== undefined && (m[1] === "" || !withPort)) return // a host with a port, or without a name
    if (m[1] === "" && (isSpecial || p.username || p.password || p.port)) return
    const h = m[1] === "" ? "" : parseHost(m[1], isSpecial)
    if (h === null) return
    p.host = h
    const digits = m[3] && /^\d+/.exec(m[3])
    if (digits) {
      const port = parsePort(digits[0], p.scheme)
      if (port !== null) p.port = port
    }
    this.#changed()
  }
  get port() { return this.#parts.port }
  set port(v: string) {
    if (this.#noUser()) return
    v = text(v)
    if (v === "") this.#parts.port = ""
    else {
      const digits = /^\d+/.exec(v.replace(/[\t\n\r]/g, ""))
      const port = digits && parsePort(digits[0], this.#parts.scheme)
      if (port === null) return
      this.#parts.port = port
    }
    this.#changed()
  }
  get pathname() { return this.#parts.path }
  set pathname(v: string) {
    const p = this.#parts
    if (p.opaque) return
    // Here ? and # are part of the path.
    v = text(v).replace(/[\t\n\r]/g, "")
    p.path = v === "" && !special(p.scheme) && p.host !== null ? "" : pathFrom(v, [], p.scheme).replace(/[?#]/g, encodeOne)
    this.#changed()
  }
  get search() { return this.#parts.query ? "?" + this.#parts.query : "" }
  set search(v: string) {
    const p = this.#parts
    v = text(v).replace(/[\t\n\r]/g, "")
    if (v === "") p.query = null
    else p.query = encode(v[0] === "?" ? v.slice(1) : v, special(p.scheme) ? inSpecialQuery : inQuery)
    this.#changed()
    if (this.#params) reread(this.#params, p.query ?? "")
  }
  get searchParams() {
    if (!this.#params) {
      this.#params = new URLSearchParams_(this.#parts.query ?? "")
      link(this.#params, this)
    }
    return this.#params
  }
  get hash() { return this.#parts.fragment ? "#" + this.#parts.fragment : "" }
  set hash(v: string) {
    v = text(v).replace(/[\t\n\r]/g, "")
    if (v === "") this.#parts.fragment = null
    else this.#parts.fragment = encode(v[0] === "#" ? v.slice(1) : v, inFragment)
    this.#changed()
  }
  toString() { return this.href }
  toJSON() { return this.href }
  static {
    update = (url, query) => {
      url.#parts.query = query === "" ? null : query
      url.#changed()
    }
  }
}
let update: (url: URL_, query: string) => void

function parseWith(url: unknown, base: unknown): Parts | null {
  if (base === undefined) return url instanceof URL_ ? parse(url.href) : parse(text(url))
  const b = parse(text(base))
  return b && parse(text(url), b)
}

/** The normal form of a URL without its fragment, or null. Faster than new URL. */
export function normal(url: unknown): { href: string; user: boolean } | null {
  const p = parse(url instanceof URL_ ? url.href : text(url))
  return p && { href: serialize(p), user: p.username !== "" || p.password !== "" }
}

// https://url.spec.whatwg.org/#application/x-www-form-urlencoded
const unreserved = /[^*\-.0-9A-Z_a-z]/gu
const formEncode = (s: string) => s.replace(unreserved, (c) => (c === " " ? "+" : encodeOne(c)))
const formDecode = (s: string) => decode(s.includes("+") ? s.replace(/\+/g, " ") : s)

export function parseForm(s: string): [string, string][] {
  const list: [string, string][] = []
  if (s === "") return list
  for (const pair of s.split("&")) {
    if (pair === "") continue
    const k = pair.indexOf("=")
    list.push(k < 0 ? [formDecode(pair), ""] : [formDecode(pair.slice(0, k)), formDecode(pair.slice(k + 1))])
  }
  return list
}

export class URLSearchParams_ {
  #list: [string, string][] = []
  #url: URL_ | undefined

  constructor(init: any = "") {
    if ((typeof init === "object" && init !== null) || typeof init === "function") {
      const iterate = init[Symbol.iterator]
      if (iterate != null) {
        if (typeof iterate !== "function") throw new TypeError("URLSearchParams: the argument is not iterable")
        for (const pair of init) {
          if (pair === null || typeof pair !== "object" && typeof pair !== "function" || typeof pair[Symbol.iterator] !== "function") throw new TypeError("URLSearchParams: an item is not a pair of name and value")
          const [...both] = pair
          if (both.length !== 2) throw new TypeError("URLSearchParams: an item is not a pair of name and value")
          this.#list.push([text(both[0]), text(both[1])])
        }
      } else {
        const seen = new Map<string, [string, string]>()
        for (const key of Reflect.ownKeys(init)) {
          if (!Object.getOwnPropertyDescriptor(init, key)?.enumerable) continue
          const pair: [string, string] = [text(key), text(init[key])]
          const known = seen.get(pair[0])
          if (known) known[1] = pair[1]
          else {
            seen.set(pair[0], pair)
            this.#list.push(pair)
          }
        }
      }
      return
    }
    const s = text(init)
    this.#list = parseForm(s[0] === "?" ? s.slice(1) : s)
  }
  static {
    link = (of, to) => void (of.#url = to)
    reread = (of, query) => void (of.#list = parseForm(query))
  }
  #changed() { if (this.#url) update(this.#url, this.toString()) }
  get size() { return this.#list.length }
  append(name: string, value: string) {
    need(arguments, 2, "URLSearchParams.append")
    this.#list.push([text(name), text(value)])
    this.#changed()
  }
  delete(name: string, value?: string) {
    need(arguments, 1, "URLSearchParams.delete")
    const n = text(name), v = value === undefined ? undefined : text(value)
    this.#list = this.#list.filter((p) => p[0] !== n || (v !== undefined && p[1] !== v))
    this.#changed()
  }
  get(name: string) {
    need(arguments, 1, "URLSearchParams.get")
    const n = text(name)
    return this.#list.find((p) => p[0] === n)?.[1] ?? null
  }
  getAll(name: string) {
    need(arguments, 1, "URLSearchParams.getAll")
    const n = text(name)
    return this.#list.filter((p) => p[0] === n).map((p) => p[1])
  }
  has(name: string, value?: string) {
    need(arguments, 1, "URLSearchParams.has")
    const n = text(name), v = value === undefined ? undefined : text(value)
    return this.#list.some((p) => p[0] === n && (v === undefined || p[1] === v))
  }
  set(name: string, value: string) {
    need(arguments, 2, "URLSearchParams.set")
    const n = text(name), v = text(value)
    const k = this.#list.findIndex((p) => p[0] === n)
    if (k < 0) this.#list.push([n, v])
    else {
      this.#list[k][1] = v
      this.#list = this.#list.filter((p, at) => at <= k || p[0] !== n)
    }
    this.#changed()
  }
  sort() {
    this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)) // by code units; the sort is stable
    this.#changed()
  }
  forEach(fn: any, self?: any) {
    if (typeof fn !== "function") throw new TypeError("URLSearchParams.forEach: the argument is not a function")
    for (let k = 0; k < this.#list.length; k++) fn.call(self, this.#list[k][1], this.#list[k][0], this)
  }
  entries() { return iterator("URLSearchParams", () => this.#list, (p) => [p[0], p[1]]) }
  keys() { return iterator("URLSearchParams", () => this.#list, (p) => p[0]) }
  values() { return iterator("URLSearchParams", () => this.#list, (p) => p[1]) }
  toString() {
    let s = ""
    for (const [n, v] of this.#list) s += (s && "&") + formEncode(n) + "=" + formEncode(v)
    return s
  }
}

// Iterators see changes that are made meanwhile.
const prototypes: Record<string, any> = {}
const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))
export function iterator<T, P>(of: string, list: () => P[], pick: (p: P) => T): IterableIterator<T> {
  const prototype = (prototypes[of] ??= Object.create(iteratorPrototype, {
    next: { value(this: any) { return this[step]() }, writable: true, enumerable: true, configurable: true },
    [Symbol.toStringTag]: { value: `${of} Iterator`, configurable: true },
  }))
  let k = 0
  const it = Object.create(prototype)
  Object.defineProperty(it, step, { value: () => { const all = list(); return k < all.length ? { value: pick(all[k++]), done: false } : { value: undefined, done: true } } })
  return it
}
const step = Symbol("step")

Object.defineProperty(URLSearchParams_.prototype, Symbol.iterator, { value: URLSearchParams_.prototype.entries, writable: true, configurable: true })
expose({ URL: URL_, URLSearchParams: URLSearchParams_ })
