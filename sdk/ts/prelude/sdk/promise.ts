// Promises that the world outside settles.
import { host } from "../host"
import { callRaw, signalsOf, take, throwIfOver, until } from "../loop"
import { site } from "../site"
import { type Waiting, self } from "./run"
import { schemaOf, validated } from "./schema"
import { span } from "./time"

const letters = "0123456789abcdefghjkmnpqrstvwxyz"

class Outside<T> implements PromiseLike<T> {
  #result: Promise<{ value?: T; error?: unknown }>
  constructor(readonly token: string, result: Promise<{ value?: T; error?: unknown }>) {
    this.#result = result
  }
  /** Send a POST with the value as JSON to settle it. */
  get url() {
    return `${self().url}/api/v1/promises/${encodeURIComponent(this.token)}`
  }
  async wait(o: Waiting = {}): Promise<T> {
    const signals = signalsOf(o.signal)
    throwIfOver(signals)
    const r = await until(this.#result, signals)
    if ("error" in r) throw r.error
    return r.value!
  }
  then<A = T, B = never>(ok?: ((v: T) => A | PromiseLike<A>) | null, bad?: ((e: any) => B | PromiseLike<B>) | null): Promise<A | B> {
    return this.wait().then(ok, bad)
  }
}

export function promise<T>(name = "", o: { expires?: number | string | Date; schema?: unknown } = {}): Outside<T> {
  throwIfOver(signalsOf(undefined))
  const bytes = new Uint8Array(25)
  host.random(bytes)
  const secret = Array.from(bytes, (b) => letters[b & 31]).join("")
  const ms = o.expires === undefined ? undefined : o.expires instanceof Date ? o.expires.getTime() : Date.now() + span(o.expires)
  const schema = schemaOf(o.schema)
  // The time is in nanoseconds, which a number of JavaScript cannot hold exactly: it is written as text.
  const at = site(), head = JSON.stringify({ name: name || undefined, secret, schema, at })
  const c = callRaw("promise", ms === undefined ? head : `${head.slice(0, -1)},"expires":${Math.min(Math.floor(ms), 9_223_372_036_000)}000000}`, undefined, at)
  const result = (async () => {
    try {
      const a = take(await c.answered), text = a.text()
      a.close()
      return { value: (await validated(o.schema, text ? JSON.parse(text) : undefined, `the value of promise ${name}`)) as T }
    } catch (error) {
      return { error }
    }
  })()
  return new Outside<T>(`${secret}.${c.call}.${self().run}`, result)
}
