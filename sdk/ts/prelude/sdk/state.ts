// State that runs share.
import { ask, call, note, signalsOf, take, throwIfOver, toJSON, until } from "../loop"
import { host } from "../host"
import { site } from "../site"
import type { Waiting } from "./run"

const queues = new Map<string, Promise<unknown>>() // one hold of a state at a time in this run

class Shared<T> {
  constructor(readonly name: string) {}
  /** The current value; undefined until a run has set it. */
  async get(): Promise<T | undefined> {
    throwIfOver(signalsOf(undefined))
    const a = await ask("state", { name: this.name, op: "get" }), text = a.text()
    a.close()
    return text ? JSON.parse(text) : undefined
  }
  /** Holds the value while f runs, and stores what f returns. If f throws, the value stays as it was. */
  async update(f: (value: T | undefined) => T | Promise<T>, o: Waiting = {}): Promise<T> {
    const at = site(), before = queues.get(this.name) ?? Promise.resolve()
    let leave!: () => void
    queues.set(this.name, new Promise<void>((done) => { leave = done }))
    try {
      const signals = signalsOf(o.signal)
      throwIfOver(signals)
      await until(before.then(() => {}), signals)
      return await this.#hold(f, signals, at)
    } finally {
      before.then(leave)
    }
  }
  async #hold(f: (value: T | undefined) => T | Promise<T>, signals: AbortSignal[], at: string): Promise<T> {
    const lock = call("state", { name: this.name, op: "lock" }, undefined, at)
    const unlock = () => {
      const n = note("state", { name: this.name, op: "unlock", lock: lock.call, at })
      host.forget(n)
      host.forget(lock.call)
    }
    const a = take(await until(lock.answered, signals, unlock))
    let stored = false
    try {
      const text = a.text(), value = await f(text ? JSON.parse(text) : undefined)
      const body = toJSON(value, `the state ${this.name}`)
      stored = true
      await ask("state", { name: this.name, op: "put", lock: lock.call }, body, at)
      return value
    } finally {
      if (!stored) unlock()
    }
  }
}

export const state = <T>(name: string) => new Shared<T>(name)
