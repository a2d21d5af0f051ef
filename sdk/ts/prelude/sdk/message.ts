// Messages between runs, and from outside.
import { ask, call, CallError, note, signalsOf, take, throwIfOver, toJSON, until } from "../loop"
import { site } from "../site"
import type { Waiting } from "./run"
import { schemaOf, validated } from "./schema"

export interface Receiving extends Waiting { schema?: unknown }

export async function send(run: string, type: string, message?: unknown): Promise<void> {
  throwIfOver(signalsOf(undefined))
  await ask("send", { to: run, type }, toJSON(message, `the message ${type}`))
}

class Message<M> {
  constructor(readonly id: string, readonly from: string, readonly type: string, readonly value: M) {}
  reply(v?: unknown) {
    note("reply", { message: this.id, at: site() }, toJSON(v, "the reply"))
  }
}

// Calls that receive a type and whose receiver gave up: the next receiver takes the oldest. The engine gives a message to
// the oldest call, so a spare call must not be left behind.
const spare = new Map<string, { call: number; answered: Promise<number> }[]>()
const keyOf = (type: string, schema: unknown) => `${type}\n${schema === undefined ? "" : JSON.stringify(schema)}`

export async function receiveMessage<M>(type: string, o: Receiving = {}): Promise<Message<M>> {
  const at = site(), signals = signalsOf(o.signal)
  throwIfOver(signals)
  const schema = schemaOf(o.schema), key = keyOf(type, schema)
  await withdrawOthers(type, key)
  const c = spare.get(key)?.shift() ?? call("receive", { type, schema }, undefined, at)
  const n = await until(c.answered, signals, () => {
    const list = spare.get(key) ?? []
    list.push(c)
    spare.set(key, list)
  })
  const a = take(n), value = JSON.parse(a.text())
  a.close()
  return new Message<M>(a.head.id, a.head.from, a.head.type, (await validated(o.schema, value, `the message ${type}`)) as M)
}

/** Spare calls for the same type and another schema would take the message that the next receiver waits for. */
async function withdrawOthers(type: string, key: string) {
  for (const [other, list] of spare) {
    if (other === key || other.slice(0, other.indexOf("\n")) !== type) continue
    for (let c = list.shift(); c; c = list.shift()) {
      note("withdraw", { call: c.call, why: "dropped" })
      const n = await c.answered
      try {
        take(n)
      } catch (e) {
        if (e instanceof CallError) continue // withdrawn
        throw e
      }
      // It has a message already: the next receiver takes it.
      const mine = spare.get(key) ?? []
      mine.unshift({ call: n, answered: Promise.resolve(n) })
      spare.set(key, mine)
    }
  }
}

export async function receive<M>(type: string, o: Receiving = {}): Promise<M> {
  return (await receiveMessage<M>(type, o)).value
}

export async function* messages<M>(type: string, o: Receiving = {}): AsyncGenerator<Message<M>> {
  for (;;) yield await receiveMessage<M>(type, o)
}
