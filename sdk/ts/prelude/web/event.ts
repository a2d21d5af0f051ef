// Event, EventTarget, AbortController, AbortSignal (https://dom.spec.whatwg.org). There is no tree: an event has one target.
import { global } from "../host"
import { expose, need } from "./define"

const inside = new WeakMap<Event_, { target: any; current: any; dispatched: boolean; stopped: boolean; canceled: boolean; passive: boolean; initialized: boolean; type: string; bubbles: boolean; cancelable: boolean }>()
const of = (e: Event_) => inside.get(e)!

export class Event_ {
  static readonly NONE = 0
  static readonly CAPTURING_PHASE = 1
  static readonly AT_TARGET = 2
  static readonly BUBBLING_PHASE = 3
  #composed: boolean
  readonly timeStamp: number = performance.now()
  constructor(type: string, init: any = {}) {
    need(arguments, 1, "Event")
    this.#composed = !!init?.composed
    inside.set(this, { target: null, current: null, dispatched: false, stopped: false, canceled: false, passive: false, initialized: true, type: String(type), bubbles: !!init?.bubbles, cancelable: !!init?.cancelable })
  }
  get type() { return of(this).type }
  get target() { return of(this).target }
  get srcElement() { return of(this).target }
  get currentTarget() { return of(this).current }
  get eventPhase() { return of(this).current ? 2 : 0 }
  get bubbles() { return of(this).bubbles }
  get cancelable() { return of(this).cancelable }
  get composed() { return this.#composed }
  get isTrusted() { return false }
  get defaultPrevented() { return of(this).canceled }
  get returnValue() { return !of(this).canceled }
  set returnValue(v) { if (!v) this.preventDefault() }
  get cancelBubble() { return false }
  set cancelBubble(_) {}
  composedPath() { const c = of(this).current; return c ? [c] : [] }
  preventDefault() { const s = of(this); if (s.cancelable && !s.passive) s.canceled = true }
  stopPropagation() {}
  stopImmediatePropagation() { of(this).stopped = true }
  initEvent(type: string, bubbles = false, cancelable = false) {
    const s = of(this)
    if (!s.dispatched) Object.assign(s, { type: String(type), bubbles: !!bubbles, cancelable: !!cancelable, canceled: false, stopped: false, target: null })
  }
}
class CustomEvent_ extends Event_ {
  #detail: any
  constructor(type: string, init: any = {}) { super(type, init); this.#detail = init?.detail ?? null }
  get detail() { return this.#detail }
}
class MessageEvent_ extends Event_ {
  #init: any
  constructor(type: string, init: any = {}) { super(type, init); this.#init = init ?? {} }
  get data() { return this.#init.data ?? null }
  get origin() { return this.#init.origin ?? "" }
  get lastEventId() { return this.#init.lastEventId ?? "" }
}
class ErrorEvent_ extends Event_ {
  #init: any
  constructor(type: string, init: any = {}) { super(type, init); this.#init = init ?? {} }
  get message() { return this.#init.message ?? "" }
  get error() { return this.#init.error }
}

interface Listener { type: string; fn: any; capture: boolean; once: boolean; passive: boolean; removed: boolean }

export class EventTarget_ {
  #listeners: Listener[] | undefined
  addEventListener(type: string, fn: any, options?: any) {
    need(arguments, 2, "addEventListener")
    if (fn != null && typeof fn !== "object" && typeof fn !== "function") throw new TypeError("addEventListener: the listener is not an object")
    const o = typeof options === "object" && options !== null ? options : { capture: options }
    if (o.signal !== undefined && !(o.signal instanceof AbortSignal_)) throw new TypeError("addEventListener: the signal is not an AbortSignal")
    type = String(type)
    const capture = !!o.capture
    if (fn == null || o.signal?.aborted || this.#listeners?.some((l) => l.type === type && l.fn === fn && l.capture === capture)) return
    ;(this.#listeners ??= []).push({ type, fn, capture, once: !!o.once, passive: !!o.passive, removed: false })
    if (o.signal) whenAborted(o.signal, () => this.removeEventListener(type, fn, capture))
  }
  removeEventListener(type: string, fn: any, options?: any) {
    need(arguments, 2, "removeEventListener")
    const capture = !!(typeof options === "object" && options !== null ? options.capture : options)
    const k = this.#listeners?.findIndex((l) => l.type === String(type) && l.fn === fn && l.capture === capture) ?? -1
    if (k < 0) return
    this.#listeners![k].removed = true
    this.#listeners!.splice(k, 1)
  }
  dispatchEvent(e: Event_) {
    if (!(e instanceof Event_)) throw new TypeError("dispatchEvent: the argument is not an Event")
    const s = of(e)
    if (s.dispatched) throw new DOMException("the event is being dispatched already", "InvalidStateError")
    s.dispatched = true
    s.stopped = false
    s.target = s.current = this
    for (const l of (this.#listeners ?? []).filter((l) => l.type === s.type)) {
      if (l.removed) continue
      if (l.once) this.removeEventListener(l.type, l.fn, l.capture)
      s.passive = l.passive
      try {
        if (typeof l.fn === "function") l.fn.call(this, e)
        else l.fn.handleEvent(e)
      } catch (error) {
        report(error)
      }
      s.passive = false
      if (s.stopped) break
    }
    s.dispatched = false
    s.current = null
    return !s.canceled
  }
}

/** Reports an exception that no caller can catch: it fails the run as an unhandled rejection does. */
export function report(error: unknown) {
  void Promise.reject(error)
}

/** Defines the attribute for an event handler, such as onabort: a listener that can be replaced. */
function handler(prototype: any, type: string) {
  const set = new WeakMap<object, { fn: any; listener: any }>()
  Object.defineProperty(prototype, "on" + type, {
    get() { return set.get(this)?.fn ?? null },
    set(fn) {
      const known = set.get(this)
      if (typeof fn !== "function") fn = null
      if (known) known.fn = fn
      else if (fn) {
        const entry = { fn, listener: (e: any) => entry.fn?.call(this, e) }
        set.set(this, entry)
        this.addEventListener(type, entry.listener)
      }
    },
    enumerable: true, configurable: true,
  })
}

let making = false
const made = <T>(make: () => T): T => { making = true; try { return make() } finally { making = false } }

export class AbortSignal_ extends EventTarget_ {
  #aborted = false
  #reason: any
  #steps: Set<() => void> | undefined // run before the event
  #sources: AbortSignal_[] | undefined // of a signal made by any(), none of which was made by it
  #dependent: AbortSignal_[] | undefined
  #fired = false
  constructor() {
    if (!making) throw new TypeError("AbortSignal cannot be constructed: use new AbortController().signal, AbortSignal.timeout or AbortSignal.any")
    super()
  }
  get aborted() { return this.#aborted }
  get reason() { return this.#reason }
  throwIfAborted() { if (this.#aborted) throw this.#reason }
  static abort(reason?: any) {
    const s = made(() => new AbortSignal_())
    s.#set(reason)
    return s
  }
  static timeout(ms: number) {
    need(arguments, 1, "AbortSignal.timeout")
    if (!(Number(ms) >= 0 && Number(ms) <= Number.MAX_SAFE_INTEGER)) throw new TypeError(`AbortSignal.timeout: ${ms} is not a number of milliseconds`)
    const s = made(() => new AbortSignal_())
    global.setTimeout(() => s.#abort(new DOMException("The operation timed out.", "TimeoutError")), Math.trunc(Number(ms)))
    return s
  }
  static any(signals: AbortSignal_[]) {
    need(arguments, 1, "AbortSignal.any")
    const list = [...signals]
    if (list.some((s) => !(s instanceof AbortSignal_))) throw new TypeError("AbortSignal.any: an item is not an AbortSignal")
    const any = made(() => new AbortSignal_())
    const done = list.find((s) => s.#aborted)
    if (done) any.#set(done.#reason)
    else {
      any.#sources = []
      for (const s of list)
        for (const source of s.#sources ?? [s]) {
          if (any.#sources.includes(source)) continue
          any.#sources.push(source)
          ;(source.#dependent ??= []).push(any)
        }
    }
    return any
  }
  #set(reason: any) {
    this.#aborted = true
    this.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason
  }
  #abort(reason: any) {
    if (this.#aborted) return
    this.#set(reason)
    const rest = (this.#dependent ?? []).filter((d) => !d.#aborted)
    for (const d of rest) d.#set(this.#reason)
    this.#run()
    for (const d of rest) d.#run()
  }
  #run() {
    if (this.#fired) return
    this.#fired = true
    const steps = this.#steps
    this.#steps = undefined
    for (const f of steps ?? []) f()
    this.dispatchEvent(new Event_("abort"))
  }
  static {
    abortSignal = (s, reason) => s.#abort(reason)
    whenAborted = (s, f) => {
      if (s.#aborted) return () => {}
      ;(s.#steps ??= new Set()).add(f)
      return () => void s.#steps?.delete(f)
    }
  }
}
let abortSignal: (s: AbortSignal_, reason: any) => void
/** Registers a function that runs when a signal is aborted, before its event. Returns a function that takes it back. */
export let whenAborted: (s: AbortSignal_, f: () => void) => () => void

class AbortController_ {
  #signal: AbortSignal_ | undefined
  get signal() { return (this.#signal ??= made(() => new AbortSignal_())) }
  abort(reason?: any) { abortSignal(this.signal, reason) }
}

handler(AbortSignal_.prototype, "abort")
for (const name of ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"]) Object.defineProperty(Event_.prototype, name, { value: (Event_ as any)[name], enumerable: true })
expose({ Event: Event_, CustomEvent: CustomEvent_, MessageEvent: MessageEvent_, ErrorEvent: ErrorEvent_, EventTarget: EventTarget_, AbortSignal: AbortSignal_, AbortController: AbortController_ })
