// console (https://console.spec.whatwg.org): lines in the log of the run.
import { cut, note } from "../loop"
import { site } from "../site"
import { expose } from "./define"

/** A value as people read it. */
function show(v: unknown): string {
  if (typeof v === "string") return v
  if (v instanceof Error) return `${v.name}: ${v.message}${v.stack ? "\n" + v.stack : ""}`
  if (typeof v === "bigint") return `${v}n`
  if (typeof v === "function") return `[function ${v.name || "anonymous"}]`
  if (typeof v !== "object" || v === null) return String(v)
  const around: unknown[] = []
  try {
    return JSON.stringify(v, function (this: unknown, _, x) {
      while (around.length && around[around.length - 1] !== this) around.pop()
      if (typeof x === "bigint") return `${x}n`
      if (x instanceof Error) return `${x.name}: ${x.message}`
      if (x instanceof Map) x = Object.fromEntries(x)
      else if (x instanceof Set) x = [...x]
      if (typeof x !== "object" || x === null) return x
      if (around.includes(x)) return "[circular]"
      around.push(x)
      return x
    }) ?? String(v)
  } catch {
    return String(v)
  }
}

/** The values as one text; %s, %d, %i, %f, %j, %o, %O and %c in the first one are replaced. */
function format(args: unknown[]): string {
  if (typeof args[0] !== "string" || !args[0].includes("%") || args.length < 2) return args.map(show).join(" ")
  let k = 1
  const text = args[0].replace(/%([sdifjoOc%])/g, (all, c) => {
    if (c === "%") return "%"
    if (k >= args.length) return all
    const v = args[k++]
    if (c === "c") return ""
    if (c === "d" || c === "f") return String(Number(v))
    if (c === "i") return String(Math.trunc(Number(v)))
    return show(v)
  })
  return [text, ...args.slice(k).map(show)].join(" ")
}

const counts = new Map<string, number>(), begun = new Map<string, number>()
let indent = ""
const write = (level: string, args: unknown[]) => void note("log", { level, at: site() }, cut(indent + format(args)))
const line = (level: string) => (...args: unknown[]) => write(level, args)

expose({
  console: {
    log: line("info"), info: line("info"), debug: line("debug"), warn: line("warn"), error: line("error"), dir: (v: unknown) => write("info", [v]), dirxml: line("info"), table: line("info"),
    trace: (...args: unknown[]) => write("debug", [format(args), "\n" + new Error().stack]),
    assert: (ok: unknown, ...args: unknown[]) => { if (!ok) write("error", ["assertion failed", ...args]) },
    count: (label = "default") => { counts.set(label, (counts.get(label) ?? 0) + 1); write("info", [`${label}: ${counts.get(label)}`]) },
    countReset: (label = "default") => void counts.delete(label),
    group: (...args: unknown[]) => { if (args.length) write("info", args); indent += "  " },
    groupCollapsed: (...args: unknown[]) => { if (args.length) write("info", args); indent += "  " },
    groupEnd: () => { indent = indent.slice(2) },
    time: (label = "default") => void begun.set(label, Date.now()),
    timeLog: (label = "default", ...args: unknown[]) => write("info", [`${label}: ${Date.now() - (begun.get(label) ?? Date.now())} ms`, ...args]),
    timeEnd: (label = "default") => { write("info", [`${label}: ${Date.now() - (begun.get(label) ?? Date.now())} ms`]); begun.delete(label) },
    clear: () => {},
  },
})
