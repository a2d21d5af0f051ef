// The run itself: sleep, data, labels, log lines, secrets.
import { host } from "../host"
import { checkBody, cut, note, signalsOf, throwIfOver, toJSON, until } from "../loop"
import { site } from "../site"
import { span } from "./time"

export interface Waiting { signal?: AbortSignal | null }

/** What the engine tells the run about itself at the moment. */
export function self(): { run: string; module: string; workflow: string; url?: string; secrets?: string } {
  const head = host.answer(0, 0, true)
  return head ? JSON.parse(head) : { run: "", module: "", workflow: "" }
}

export const runID = () => self().run
export const now = () => new Date()

export async function sleep(d: number | string | Date, o: Waiting = {}): Promise<void> {
  const signals = signalsOf(o.signal)
  throwIfOver(signals)
  const ms = d instanceof Date ? d.getTime() - Date.now() : span(d)
  let id = 0
  await until(new Promise<void>((done) => { id = setTimeout(done, ms) as unknown as number }), signals, () => clearTimeout(id))
}

export function data(value: unknown) {
  inRun("setData")
  const text = toJSON(value, "the run's data")
  checkBody(text)
  note("data", { at: site() }, text)
}

export function label(name: string, value: string) {
  if (!/^[A-Za-z0-9][\w./-]{0,62}$/.test(name)) throw new TypeError(`invalid label name ${JSON.stringify(name)}: use 1 to 63 letters, digits, dots, dashes, underscores and slashes, and begin with a letter or digit`)
  if (/[\x00-\x1f\x7f-\x9f]/.test(value) || host.utf8(String(value).toWellFormed()).length > 200) throw new TypeError(`invalid value of label ${name}: use one line of text of at most 200 bytes`)
  inRun("setLabel")
  note("label", { name, value: String(value), at: site() })
}

type Level = "debug" | "info" | "warn" | "error"
const line = (level: Level) => (text: string, fields?: Record<string, unknown>) => void note("log", { level, fields, at: site() }, cut(String(text)))
export const log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") }

export function secret(name: string): string {
  if (!/^[\w-]{1,100}$/.test(name)) throw new TypeError(`invalid secret name ${JSON.stringify(name)}: use 1 to 100 letters, digits, dashes and underscores`)
  return `flawless-secret.${name}.${self().secrets ?? "outside"}`
}

export function inRun(what: string) {
  if (!self().run) throw new Error(`${what}: there is no run. Only a workflow can do this, not the code that runs while its module is loaded`)
}
