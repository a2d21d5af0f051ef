// What a workflow imports as "flawless".
import { ask, type Context, define, note } from "../loop"

export function workflow<I, O>(name: string, fn: (input: I, context: Context) => O | Promise<O>, about: { doc?: string; input?: object; output?: object } = {}) {
  define({ name, fn, ...about })
  return fn
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms))

export async function spawn<O>(workflow: string, input: unknown, o: { module?: string } = {}): Promise<O> {
  return JSON.parse((await ask("spawn", { workflow, ...o }, JSON.stringify(input ?? null))).text())
}

export async function receive<M>(type: string): Promise<M> {
  return JSON.parse((await ask("receive", { type })).text())
}

export async function send(to: string, type: string, message: unknown) {
  await ask("send", { to, type }, JSON.stringify(message))
}

export function setData(value: unknown) {
  note("data", {}, JSON.stringify(value))
}
