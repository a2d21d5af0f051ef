// Headers (https://fetch.spec.whatwg.org/#headers-class).
import { expose, need } from "./define"
import { iterator } from "./url"

const name = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const hasUpper = /[A-Z]/

function checkName(v: unknown): string {
  const s = typeof v === "string" ? v : `${v}`
  if (!name.test(s)) throw new TypeError(`Headers: ${JSON.stringify(s)} is an invalid header name`)
  return hasUpper.test(s) ? s.toLowerCase() : s
}

function checkValue(v: unknown, of: string): string {
  let s = typeof v === "string" ? v : `${v}`
  if (/^[\t\n\r ]|[\t\n\r ]$/.test(s)) s = s.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "")
  if (/[\0\n\r\u0100-\uffff]/.test(s)) throw new TypeError(`Headers: the value of ${JSON.stringify(of)} has a line break or a character that does not fit in a byte`)
  return s
}

export type Pair = [string, string]

export class Headers_ {
  #list: Pair[] = []
  #fixed = false // the headers of a response that fetch, error or redirect made
  constructor(init?: any) {
    if (init !== undefined) this.#fill(init)
  }
  #fill(init: any) {
    if (init instanceof Headers_ && init[Symbol.iterator] === Headers_.prototype.entries) {
      this.#list = init.#list.map((p): Pair => [p[0], p[1]])
      return
    }
    if ((typeof init !== "object" && typeof init !== "function") || init === null) throw new TypeError("Headers: the argument is neither an object nor a sequence of pairs")
    const iterate = init[Symbol.iterator]
    if (iterate != null) {
      if (typeof iterate !== "function") throw new TypeError("Headers: the argument is not iterable")
      for (const pair of init) {
        if (pair === null || (typeof pair !== "object" && typeof pair !== "function") || typeof pair[Symbol.iterator] !== "function") throw new TypeError("Headers: an item is not a pair of name and value")
        const both = Array.isArray(pair) ? pair : [...pair]
        if (both.length !== 2) throw new TypeError("Headers: an item is not a pair of name and value")
        this.append(both[0], both[1])
      }
      return
    }
    const list: Pair[] = []
    for (const key of Reflect.ownKeys(init)) {
      const d = Reflect.getOwnPropertyDescriptor(init, key)
      if (!d?.enumerable) continue
      if (typeof key === "symbol") throw new TypeError("Headers: a symbol is no header name")
      if (/[^\0-\xff]/.test(key)) throw new TypeError(`Headers: ${JSON.stringify(key)} is an invalid header name`)
      list.push([key, byteString(init[key])])
    }
    for (const p of list) this.append(p[0], p[1])
  }
  #change() { if (this.#fixed) throw new TypeError("these headers cannot be changed: copy them with new Headers(headers)") }
  append(name: string, value: string) {
    need(arguments, 2, "Headers.append")
    const n = checkName(name), v = checkValue(value, n)
    this.#change()
    this.#list.push([n, v])
  }
  set(name: string, value: string) {
    need(arguments, 2, "Headers.set")
    const n = checkName(name), v = checkValue(value, n)
    this.#change()
    const k = this.#list.findIndex((p) => p[0] === n)
    if (k < 0) this.#list.push([n, v])
    else {
      this.#list[k][1] = v
      for (let j = this.#list.length - 1; j > k; j--) if (this.#list[j][0] === n) this.#list.splice(j, 1)
    }
  }
  get(name: string) {
    need(arguments, 1, "Headers.get")
    const n = checkName(name)
    let v: string | null = null
    for (const p of this.#list) if (p[0] === n) v = v === null ? p[1] : `${v}, ${p[1]}`
    return v
  }
  has(name: string) {
    need(arguments, 1, "Headers.has")
    const n = checkName(name)
    for (const p of this.#list) if (p[0] === n) return true
    return false
  }
  delete(name: string) {
    need(arguments, 1, "Headers.delete")
    const n = checkName(name)
    this.#change()
    this.#list = this.#list.filter((p) => p[0] !== n)
  }
  getSetCookie() { return this.#list.filter((p) => p[0] === "set-cookie").map((p) => p[1]) }
  /** Sorted by name, equal names combined but for Set-Cookie. */
  #sorted(): Pair[] {
    const all = this.#list.map((p): Pair => [p[0], p[1]]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0))
    const out: Pair[] = []
    for (const p of all) {
      const last = out[out.length - 1]
      if (last && last[0] === p[0] && p[0] !== "set-cookie") last[1] += ", " + p[1]
      else out.push(p)
    }
    return out
  }
  forEach(fn: any, self?: any) {
    need(arguments, 1, "Headers.forEach")
    if (typeof fn !== "function") throw new TypeError("Headers.forEach: the argument is not a function")
    for (const [n, v] of this) fn.call(self, v, n, this)
  }
  entries() { return iterator<Pair, Pair>("Headers", () => this.#sorted(), (p) => [p[0], p[1]]) }
  keys() { return iterator<string, Pair>("Headers", () => this.#sorted(), (p) => p[0]) }
  values() { return iterator<string, Pair>("Headers", () => this.#sorted(), (p) => p[1]) }
  declare [Symbol.iterator]: () => IterableIterator<Pair>
  static {
    headerList = (h) => h.#list
    fixHeaders = (h) => { h.#fixed = true; return h }
    headersOf = (list) => {
      const h = new Headers_()
      h.#list = list
      return h
    }
  }
}
/** The headers in their order, not copied; names in lower case. */
export let headerList: (h: Headers_) => Pair[]
export let fixHeaders: (h: Headers_) => Headers_
/** Headers with a list that is known to be valid. */
export let headersOf: (list: Pair[]) => Headers_

function byteString(v: unknown): string {
  const s = `${v as any}`
  if (/[^\0-\xff]/.test(s)) throw new TypeError("Headers: a value has a character that does not fit in a byte")
  return s
}

Object.defineProperty(Headers_.prototype, Symbol.iterator, { value: Headers_.prototype.entries, writable: true, configurable: true })
expose({ Headers: Headers_ })
