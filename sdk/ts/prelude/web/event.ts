// Event, EventTarget, AbortController, AbortSignal: as much as clients need.
import { global } from "../host"

class Event {
  target: any = null
  defaultPrevented = false
  constructor(readonly type: string, readonly init: any = {}) {}
  preventDefault() { this.defaultPrevented = !!this.init.cancelable }
}
class EventTarget {
  #listeners: { type: string; fn: any; once: boolean }[] = []
  addEventListener(type: string, fn: any, options?: any) {
    if (fn && !this.#listeners.some((l) => l.type === type && l.fn === fn)) this.#listeners.push({ type, fn, once: !!options?.once })
  }
  removeEventListener(type: string, fn: any) { this.#listeners = this.#listeners.filter((l) => l.type !== type || l.fn !== fn) }
  dispatchEvent(e: any) {
    e.target = this
    ;(this as any)["on" + e.type]?.(e)
    for (const l of this.#listeners.filter((l) => l.type === e.type)) {
      if (l.once) this.removeEventListener(e.type, l.fn)
      typeof l.fn === "function" ? l.fn.call(this, e) : l.fn.handleEvent(e)
    }
    return !e.defaultPrevented
  }
}
class AbortSignal extends EventTarget {
  aborted = false
  reason: any = undefined
  throwIfAborted() { if (this.aborted) throw this.reason }
  static abort(reason?: any) { return end(new AbortController(), reason) }
  static timeout(ms: number) {
    const c = new AbortController()
    setTimeout(() => c.abort(new DOMException("The operation timed out.", "TimeoutError")), ms)
    return c.signal
  }
  static any(signals: AbortSignal[]) {
    const c = new AbortController()
    for (const s of signals) s.aborted ? c.abort(s.reason) : s.addEventListener("abort", () => c.abort(s.reason))
    return c.signal
  }
}
class AbortController {
  signal = new AbortSignal()
  abort(reason?: any) { if (!this.signal.aborted) end(this, reason) }
}
function end({ signal }: AbortController, reason: any = new DOMException("The operation was aborted.", "AbortError")) {
  Object.assign(signal, { aborted: true, reason })
  signal.dispatchEvent(new Event("abort"))
  return signal
}
Object.assign(global, { Event, EventTarget, AbortSignal, AbortController })
