// The little of Node.js that packages look for: Buffer, events, process. The build resolves imports of them to what is here.
import * as buffer from "buffer"
import events from "events"
import { global } from "../host"

const none = () => {}
const process = {
  env: { NODE_ENV: "production" } as Record<string, string>,
  argv: [] as string[],
  version: "",
  versions: {},
  platform: "flawless",
  nextTick: (fn: Function, ...args: unknown[]) => queueMicrotask(() => fn(...args)),
  cwd: () => "/",
  emitWarning: (text: unknown) => console.warn(text),
  on: none,
  once: none,
  off: none,
  emit: () => false,
}

global.Buffer = buffer.Buffer
global.global = globalThis
global.self = globalThis
global.process = process
// Packages choose their client by it: this one has fetch, and neither files nor a page.
global.navigator = { userAgent: "Cloudflare-Workers", language: "en-US", onLine: true }

global[Symbol.for("flawless.node")] = { buffer, events, process }
