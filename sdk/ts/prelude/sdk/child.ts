// Child runs.
import { belongs, call, CallError, isShielded, signalsOf, take, throwIfOver, toJSON, until } from "../loop"
import { site } from "../site"
import { type Waiting, self } from "./run"

/** The error of a run that ended without output. */
export class ChildError extends Error {
  constructor(readonly id: string, readonly workflow: string, readonly status: string, readonly kind: string, message: string) {
    super(`${workflow} (run ${id}) ${status}: ${message}`)
  }
}
ChildError.prototype.name = "ChildError"

class Child<O> implements PromiseLike<O> {
  #result: Promise<{ value?: O; error?: unknown }>
  constructor(readonly id: string, result: Promise<{ value?: O; error?: unknown }>) {
    this.#result = result
  }
  async wait(o: Waiting = {}): Promise<O> {
    const signals = signalsOf(o.signal)
    throwIfOver(signals)
    const r = await until(this.#result, signals)
    if ("error" in r) throw r.error
    return r.value!
  }
  then<A = O, B = never>(ok?: ((v: O) => A | PromiseLike<A>) | null, bad?: ((e: any) => B | PromiseLike<B>) | null): Promise<A | B> {
    return this.wait().then(ok, bad)
  }
}

async function outcome<O>(id: string, name: string, answered: Promise<number>): Promise<{ value?: O; error?: unknown }> {
  try {
    const a = take(await answered)
    const text = a.text()
    a.close()
    return { value: text ? JSON.parse(text) : undefined }
  } catch (e) {
    if (e instanceof CallError && ["failed", "cancelled", "terminated"].includes(e.kind)) return { error: new ChildError(id, name, e.kind, e.reason ?? "", e.message) }
    return { error: e }
  }
}

const awaiting = <O>(id: string, name: string, at: string) => outcome<O>(id, name, call("await", { run: id }, undefined, at).answered)

/** Starts a child run: "workflow" of this module, or "module/workflow". */
export function spawn<O>(workflow: string | { name: string }, input?: unknown, o: { detached?: boolean } = {}): Child<O> {
  const name = typeof workflow === "string" ? workflow : workflow.name
  throwIfOver(signalsOf(undefined))
  const slash = name.indexOf("/"), at = site()
  const head = {
    module: slash < 0 ? undefined : name.slice(0, slash),
    workflow: slash < 0 ? name : name.slice(slash + 1),
    detached: o.detached || undefined,
    shielded: (!o.detached && isShielded()) || undefined,
  }
  const c = call("spawn", head, toJSON(input, `the input of ${name}`), at)
  const id = `${self().run}.${c.call}`
  let result: Promise<{ value?: O; error?: unknown }>
  if (o.detached)
    // The answer comes when the child has started; its end is another call, which is made when it is asked for.
    result = lazily(async () => {
      const started = await outcome<O>(id, name, c.answered)
      return "error" in started ? started : awaiting<O>(id, name, at)
    })
  else {
    result = outcome<O>(id, name, c.answered)
    belongs(result)
  }
  return new Child<O>(id, result)
}

/** A handle on any run, to wait for its end. */
export function await_<O>(id: string): Child<O> {
  const at = site()
  return new Child<O>(id, lazily(() => awaiting<O>(id, `run ${id}`, at)))
}

/** A promise whose work begins when somebody waits for it. */
function lazily<T>(work: () => Promise<T>): Promise<T> {
  let begun: Promise<T> | undefined
  return { then: (ok: any, bad: any) => (begun ??= work()).then(ok, bad) } as Promise<T>
}
