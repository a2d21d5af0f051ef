// The functions of ../engine/guest.c.
export interface Host {
  /** Makes a call and returns its number, 0 for a note, -1 where there is no run. */
  call(kind: string, head: string, body?: Uint8Array | string): number
  /** Returns the head (0) or body (1) of an answer; undefined if there is none yet. */
  answer(call: number, part: 0 | 1, text: true): string | undefined
  answer(call: number, part: 0 | 1, text: false): Uint8Array | undefined
  answered(call: number): boolean
  /** Frees an answer. */
  forget(call: number): void
  finish(ok: boolean, text: string): void
  /** A number from 0 up to 1, or fills an array, from the randomness of the run. */
  random(): number
  random(into: Uint8Array): void
  utf8(text: string): Uint8Array
  text(bytes: Uint8Array): string
  /** The place of a line and column of the bundle: index of the source << 20 | line; -1 if it is unknown. */
  locate(line: number, column: number): number
  /** The place of a caller in the bundle, as of locate; -2 if there is none. */
  frame(level: number): number
  /** For each async function of the bundle that awaits, its name and its place. */
  awaits(): (string | number)[]
  /** The same for the last functions that awaited what nothing could settle any more, the newest first. */
  lost(): (string | number)[]
  /** How deep arrays and objects of a JSON text lie in each other. */
  nesting(text: string): number
  /** JSON: the names of the sources. */
  sources: string
  hooks(h: Hooks): void
}

/** What the engine calls. An exception in one of them is a fault of the prelude: it ends the guest. */
export interface Hooks {
  /** Returns the manifest. */
  describe(): string
  start(): void
  /** Answers were delivered. */
  resume(): void
  /** Passes on one answer or timer and returns 0; otherwise the time of the next timer in Unix ms, or -1. */
  deliver(): number
  /** Says what the run waits for. */
  blocked(): string
  rejected(promise: Promise<unknown>, reason: unknown, handled: boolean): void
}

export const global = globalThis as any
export const host: Host = global.__host
delete global.__host
