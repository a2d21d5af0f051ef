// Types of the module "flawless", which is in every TypeScript module that flawless build makes. Times without a unit are
// milliseconds; a duration can be a text such as "1h30m", "14d" or "250ms".

declare module "flawless" {
  export type Duration = number | string

  /** JSON Schema, or an object that follows Standard Schema, such as a schema of zod. */
  export type Schema<T = unknown> = object | { readonly "~standard": { readonly types?: { readonly output: T } } }

  /** What a workflow gets beside its input. */
  export interface Context {
    /** Id of the run. */
    readonly run: string
    readonly module: string
    readonly workflow: string
    /** Address of the server, if it knows it. */
    readonly url?: string
    /** Aborts when somebody cancels the run. */
    readonly signal: AbortSignal
  }

  export interface About {
    /** What the workflow does, for people. */
    doc?: string
    /** Schema of the input. The engine refuses an input that does not fit; a Standard Schema may also change it. */
    input?: Schema
    /** Schema of the output. */
    output?: Schema
  }

  /** A registered workflow. */
  export interface Workflow<I, O> {
    (input: I, context: Context): O | Promise<O>
  }

  /**
   * Registers a workflow under a name. Call it while the module is loaded. The function is ordinary code: what it asks of
   * the world is logged, and after a crash it goes on where it was. Input and output are JSON; an output that JSON cannot
   * hold, such as a bigint, fails the run and says where it is.
   */
  export function workflow<I = any, O = unknown>(name: string, fn: (input: I, context: Context) => O | Promise<O>, about?: About): Workflow<I, O>

  export interface Waiting {
    /**
     * Ends the wait when it aborts: it throws the signal's reason. null means that not even a cancellation of the run ends
     * it. Without it, a cancellation does.
     */
    signal?: AbortSignal | null
  }

  /** Waits for a time, or until a Date. Like setTimeout, it outlasts crashes and restarts of the server. */
  export function sleep(time: Duration | Date, o?: Waiting): Promise<void>

  /** Publishes data of the run, which can be read from outside. The last value wins. */
  export function setData(value: unknown): void

  /** Sets a label, by which the run can be found; "" removes it. A run has at most 20. */
  export function setLabel(name: string, value: string): void

  /** Id of the run; "" while the module is loaded. */
  export function runID(): string

  /** The time of the turn. */
  export function now(): Date

  /** Lines in the log of the run, with fields. console.log and its relatives write there, too. */
  export const log: Record<"debug" | "info" | "warn" | "error", (text: string, fields?: Record<string, unknown>) => void>

  /**
   * A placeholder for a secret that the operator has stored. The engine replaces it in requests to the hosts that the secret
   * is for. The run never sees the value.
   */
  export function secret(name: string): string

  /**
   * Runs code that a cancellation of the run does not reach, such as clean-up: as long as it runs, calls are made and waited
   * for as if the run was not cancelled.
   */
  export function shielded<T>(fn: () => T | Promise<T>): Promise<T>

  /** A run that was started or named. Awaiting it is the same as wait(). */
  export interface Child<O> extends PromiseLike<O> {
    readonly id: string
    /** Waits for the end of the run and returns its output; throws a ChildError if it has none. */
    wait(o?: Waiting): Promise<O>
  }

  /**
   * Starts a child run, exactly once, and does not wait for it. The name is "workflow", of this module in the same version, or
   * "module/workflow". A child is cancelled with its parent unless it is detached.
   */
  export function spawn<O = any>(workflow: string, input?: unknown, o?: { detached?: boolean }): Child<O>

  /** A handle on any run. */
  export function awaitRun<O = any>(id: string): Child<O>

  /** Sends a message to a run, exactly once; returns when it is durable there. */
  export function send(run: string, type: string, message?: unknown): Promise<void>

  export interface Receiving extends Waiting {
    /** The engine refuses a message that does not fit while the run waits for it. */
    schema?: Schema
  }

  export interface Message<M> {
    readonly id: string
    readonly from: string
    readonly type: string
    readonly value: M
    /** Answers a sender outside that waits for it. */
    reply(value?: unknown): void
  }

  /** Waits for the next message of a type and returns its value. If the wait ends early, no message is lost. */
  export function receive<M = any>(type: string, o?: Receiving): Promise<M>
  export function receiveMessage<M = any>(type: string, o?: Receiving): Promise<Message<M>>
  /** All messages of a type, one after another, for `for await`. */
  export function messages<M = any>(type: string, o?: Receiving): AsyncGenerator<Message<M>>

  /** A value that somebody outside gives. Awaiting it is the same as wait(). */
  export interface Outside<T> extends PromiseLike<T> {
    /** Whoever has it can settle the promise: flawless workflow promise settle TOKEN. */
    readonly token: string
    /** A POST with the value as JSON settles the promise. */
    readonly url: string
    wait(o?: Waiting): Promise<T>
  }

  /**
   * Makes a promise. Whoever knows its url or token, which cannot be guessed, can settle it, once. Waiting for it throws a
   * CallError of kind "rejected" or "expired" if it has no value.
   */
  export function promise<T = any>(name?: string, o?: { expires?: Duration | Date; schema?: Schema }): Outside<T>

  /** A value that runs share under a name. */
  export interface Shared<T> {
    readonly name: string
    /** The current value; undefined until a run has set it. */
    get(): Promise<T | undefined>
    /** Holds the value while f runs, which may take days, and stores what f returns. If f throws, the value stays. */
    update(f: (value: T | undefined) => T | Promise<T>, o?: Waiting): Promise<T>
  }
  export function state<T = any>(name: string): Shared<T>

  export interface Saga {
    /**
     * Runs a step. If the saga fails later, or in this step, undo runs when everything that the step began has an outcome; it
     * must be right if the step did not take effect, too.
     */
    step<T>(name: string, take: () => T | Promise<T>, undo?: () => unknown): Promise<T>
  }

  /**
   * Calls f, which takes steps. If it throws, the undos of its steps run, the latest first, also when the run is cancelled;
   * then the error is thrown. If an undo fails for good, the run asks a person.
   */
  export function saga<T>(f: (s: Saga) => T | Promise<T>, o?: { undoRetry?: Retry }): Promise<T>

  export interface Retry {
    /** How often in all; 0 or none is the engine's policy. */
    attempts?: number
    initial?: Duration
    factor?: number
    max?: Duration
  }

  /** Returns a function that returns what fetch returned, and calls it again once that is older than ttl. */
  export function fresh<T>(ttl: Duration, fetch: () => Promise<T>): () => Promise<T>

  /** Declares, while the module is loaded, for how long a host honours an Idempotency-Key. */
  export function honoursKeys(host: string, within: Duration): void

  /** An error that the engine answered a call with. */
  export class CallError extends Error {
    readonly call: number
    readonly kind: string
    readonly reason?: string
    readonly status?: number
  }
  /** The outcome of a request is unknown: it may have taken effect. */
  export class Interrupted extends Error {
    readonly call: number
    readonly reason?: string
    readonly key?: string
    readonly repeatUntil?: Date
  }
  /** A run that was waited for has no output. */
  export class ChildError extends Error {
    readonly id: string
    readonly workflow: string
    readonly status: "failed" | "cancelled" | "terminated"
    readonly kind: string
  }
  /** The run was cancelled. */
  export class Cancelled extends Error {
    readonly by?: string
    readonly note?: string
  }
  /** Steps of a saga that could not be undone and that a person gave up. */
  export class UndoError extends Error {
    readonly steps: string[]
  }

  /** Options of a request: fetch(url, { flawless: … }). */
  export interface CallOptions {
    /** May be sent again if its outcome is unknown. Without it, the method decides. */
    idempotent?: boolean
    /** For how long the server honours the Idempotency-Key. */
    within?: Duration
    /** What to do if the outcome is unknown: stop the run until a person decides (the default), or throw Interrupted. */
    onUnknown?: "stop" | "tell"
    timeout?: Duration
    /** Limit of the response's body in bytes. */
    limit?: number
    retry?: Retry & { jitter?: number; statuses?: number[] }
    /** Limit of the time for retries. */
    retryFor?: Duration
  }
}

interface RequestInit {
  flawless?: import("flawless").CallOptions
}
