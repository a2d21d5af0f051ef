// Sagas: steps that all take effect, or are undone.
import { ask, cancelled, note, openSteps, shielded, throwIfOver } from "../loop"
import { span } from "./time"
import { sleep } from "./run"

/** The error for steps that could not be undone and that a person gave up. */
export class UndoError extends Error {
  constructor(readonly steps: string[], cause: unknown) {
    super(`not undone: ${steps.join(", ")}`, { cause })
  }
}
UndoError.prototype.name = "UndoError"

interface Step { name: string; undo: (signal: null) => unknown; n: number; begun: Set<PromiseLike<unknown>> }
interface Retry { attempts?: number; initial?: number | string; factor?: number; max?: number | string }

let taken = 0

class Saga {
  #steps: Step[] = []
  #over = false
  #retry: Retry
  constructor(retry: Retry) {
    this.#retry = retry
  }
  /** Runs a step, and its undo if the saga fails later, or in this step. */
  async step<T>(name: string, take: () => T | Promise<T>, undo?: () => unknown): Promise<T> {
    throwIfOver([cancelled.signal])
    if (this.#over) throw new Error("the saga is being undone: no step can be taken")
    const s: Step = { name, undo: undo ?? (() => {}), n: 0, begun: new Set() }
    if (undo) {
      s.n = ++taken
      note("step", { n: s.n, name: (name || "a step without a name").slice(0, 200) })
      this.#steps.push(s)
    }
    openSteps.push(s)
    try {
      return await take()
    } finally {
      openSteps.splice(openSteps.indexOf(s), 1)
    }
  }
  done() {
    for (const s of this.#steps) note("step", { n: s.n })
  }
  /** Undoes all steps, the latest first, and returns the names of those that were given up. */
  async undo(why: unknown): Promise<string[]> {
    this.#over = true
    const undone: string[] = [], lost: string[] = []
    await shielded(async () => {
      while (this.#steps.length > 0) {
        const s = this.#steps.pop()!
        for (const p of s.begun) await Promise.resolve(p).then(() => {}, () => {}) // the undo must not overtake the step
        if (await this.#undoOne(s, why, undone)) undone.push(s.name)
        else lost.push(s.name)
        note("step", { n: s.n })
      }
    })
    return lost
  }
  /** Reports whether a step is undone; false if a person gave it up. */
  async #undoOne(s: Step, why: unknown, undone: string[]): Promise<boolean> {
    const { attempts = 10, initial = 1000, factor = 2, max = 60_000 } = this.#retry
    for (;;) {
      let failure: unknown
      let wait = span(initial)
      for (let n = 1; n <= attempts; n++) {
        try {
          await s.undo(null)
          return true
        } catch (e) {
          failure = e
        }
        if (n < attempts) await sleep(wait, { signal: null })
        wait = Math.min(wait * factor, span(max))
      }
      const left = this.#steps.map((x) => x.name)
      const none = (names: string[]) => names.join(", ") || "none"
      const reason = `the saga failed (${why}) and undoing the step ${JSON.stringify(s.name)} failed for good: ${failure}; undone: ${none(undone)}; still done and undone after this: ${none(left)}`
      try {
        const a = await ask("doubt", { request: `undo ${s.name}`, reason })
        if (a.head.note !== "retry") return true
      } catch {
        return false
      }
    }
  }
}

/** Calls f, which takes steps. If it fails, the undos of its steps run, the latest first, and then its error is thrown. */
export async function saga<T>(f: (s: Saga) => T | Promise<T>, o: { undoRetry?: Retry } = {}): Promise<T> {
  const s = new Saga(o.undoRetry ?? {})
  try {
    const v = await f(s)
    s.done()
    return v
  } catch (e) {
    const lost = await s.undo(e)
    if (lost.length > 0) throw new UndoError(lost, e)
    throw e
  }
}
