import type * as api from "./api.js";
import { type CallOptions, type Connection, harmless, known, reads, unique } from "./connection.js";
import { RunEnded, Unresolved } from "./error.js";

/** A run, as it was when the server answered. */
export type Run<Output = unknown> = Omit<api.Run, "output"> & {
	/** What it returned, once it is completed. */
	output?: Output;
};

/** Who does something to a run, and why. Both are kept in its log. */
export interface Word {
	who?: string | null;
	note?: string | null;
}

/** How a message is sent. */
export interface MessageOptions extends CallOptions {
	/**
	 * The message's own key, of up to 200 bytes. The same key is delivered once. A run remembers its newest 10,000 keys, and all
	 * keys of the last hour. Default: a new one, so that only repetitions by the client are the same message.
	 */
	key?: string;
	/** Who sends it. */
	who?: string;
}

/** One run, by its id. Making a handle sends nothing. */
export class RunHandle<Output = unknown> {
	readonly id: string;
	readonly #on: Connection;

	/** Use `client.run(id)`. */
	constructor(on: Connection, id: string) {
		this.#on = on;
		this.id = id;
	}

	/** Returns the run as it is now. */
	get(o?: CallOptions): Promise<Run<Output>> {
		return this.#on.do({ method: "GET", path: this.#path(), again: reads }, o);
	}

	/**
	 * Waits until the run has ended, and returns its output. The error is {@link RunEnded} if it ended without output, and
	 * {@link Unresolved} if it needs a decision. Other errors do not affect the run: wait again.
	 */
	async wait(o?: CallOptions): Promise<Output> {
		const run = await this.settled(o);
		if (run.status === "completed") return run.output as Output;
		throw run.status === "unresolved" ? new Unresolved(run) : new RunEnded(run);
	}

	/** Waits until the run has ended or needs a decision, and returns it. */
	settled(o?: CallOptions): Promise<Run<Output>> {
		return this.#on.do({ method: "GET", path: this.#path(), query: { wait: true }, again: reads, waits: true }, o);
	}

	/** Sends a message, and returns its id once the run has it on disk. */
	async send(type: string, value?: unknown, o: MessageOptions = {}): Promise<string> {
		return (await this.#message(type, value, o, false)).id;
	}

	/** Sends a message, and returns the reply of the run. */
	async ask<Reply = unknown>(type: string, value?: unknown, o: MessageOptions = {}): Promise<Reply> {
		return (await this.#message(type, value, o, true)).reply as Reply;
	}

	#message(type: string, value: unknown, o: MessageOptions, wait: boolean): Promise<api.Posted> {
		const key = o.key ?? newKey();
		return this.#on.do({
			method: "POST", path: this.#path("/messages"), query: { wait: wait || undefined }, waits: wait,
			body: { type, value: value ?? null, key, who: o.who }, again: known("key", key, "is delivered once"),
		}, o);
	}

	/** Yields the messages that the run has not received, oldest first. */
	messages(o?: CallOptions): AsyncGenerator<api.Message, void, void> {
		return this.#on.list(this.#path("/messages"), {}, o);
	}

	/** Yields the open promises of the run. */
	promises(o?: CallOptions): AsyncGenerator<api.Promise, void, void> {
		return this.#on.list(this.#path("/promises"), {}, o);
	}

	/** Cancels the run, which lets its code clean up. With a deadline, it is terminated if it has not ended by then. */
	cancel(o: Word & { deadline?: Date | string } & CallOptions = {}): Promise<Run<Output>> {
		return this.#on.do({ method: "POST", path: this.#path("/cancel"), query: { deadline: o.deadline }, body: word(o), again: harmless }, o);
	}

	/** Ends the run without the cooperation of its code. */
	terminate(o: Word & CallOptions = {}): Promise<Run<Output>> {
		return this.#on.do({ method: "POST", path: this.#path("/terminate"), body: word(o), again: this.#look() }, o);
	}

	/** Pauses the run: it takes no turns. */
	pause(o: Word & CallOptions = {}): Promise<Run<Output>> {
		return this.#on.do({ method: "POST", path: this.#path("/pause"), body: word(o), again: harmless }, o);
	}

	/** Resumes a paused run. */
	resume(o: Word & CallOptions = {}): Promise<Run<Output>> {
		// Repeated for a run that is paused and held, it would lift both.
		return this.#on.do({ method: "POST", path: this.#path("/resume"), body: word(o), again: this.#look() }, o);
	}

	/** Starts a new run with the input and terms of this one, which ended without output. The same id never starts a second run. */
	async restart(id: string, o: { version?: string } & CallOptions = {}): Promise<RunHandle<Output>> {
		const again = known("id", id, "never starts a second run");
		await this.#on.do({ method: "POST", path: this.#path("/restart"), query: { id, version: o.version }, again }, o);
		return new RunHandle<Output>(this.#on, id);
	}

	/** Starts the next attempt of a failed call now, or, with give_up, ends its retries: the code then gets the last error. */
	retry(o: api.UrgeCall & CallOptions = {}): Promise<Run<Output>> {
		const { signal, timeout, ...body } = o;
		return this.#on.do({ method: "POST", path: this.#path("/retry"), body, again: this.#look("the call") }, { signal, timeout });
	}

	/** Decides about a call whose outcome is unknown. */
	resolve(call: number, decision: api.Resolve, o?: CallOptions): Promise<Run<Output>> {
		return this.#on.do({
			method: "POST", path: this.#path(`/calls/${call}/resolve`), body: decision,
			again: unique(`before you decide again, check whether the outcome of call ${call} is still unknown, and since when: flawless workflow show ${this.id}`),
		}, o);
	}

	/** Yields the log records that exist, beginning with a number. */
	log(from = 0, o?: CallOptions): AsyncGenerator<api.Record, void, void> {
		return this.#on.list(this.#path("/log"), { from }, o);
	}

	/** Yields the log records, beginning with a number, as they become durable, until the run has ended. */
	follow(from = 0, o: CallOptions = {}): AsyncGenerator<api.Record, void, void> {
		return this.#on.listen({ method: "GET", path: this.#path("/events"), query: { from }, again: { same: "from where it stopped" } }, o,
			(e) => (e.name === "record" ? { value: JSON.parse(e.data) } : { last: e.name === "run" }));
	}

	/** Returns the data that the run published last. The error is {@link Refused} with code `not found` if there is none. */
	data<Data = unknown>(o?: CallOptions): Promise<Data> {
		return this.#on.do({ method: "GET", path: this.#path("/data"), again: reads }, o);
	}

	/** Yields the data that the run published last, and then all that follows, until the run has ended. */
	followData<Data = unknown>(o: CallOptions = {}): AsyncGenerator<Data, void, void> {
		return this.#on.listen<Data>({ method: "GET", path: this.#path("/data/events"), again: { same: "from where it stopped" } }, o,
			(e) => (e.name === "data" ? { value: JSON.parse(e.data) } : { last: e.name === "end" }));
	}

	#path(rest = ""): string {
		return `/runs/${encodeURIComponent(this.id)}${rest}`;
	}

	#look(what = "the run") {
		return unique(`check the state of ${what} with: flawless workflow show ${this.id}`);
	}
}

/** A run that a request started, or found. */
export class StartedRun<Output = unknown> extends RunHandle<Output> {
	/** The run, as it was when the server answered. */
	readonly run: Run<Output>;
	/** False if a run with this id and input already existed. */
	readonly started: boolean;

	/** Use `workflow.start(…)`. */
	constructor(on: Connection, answer: { run: Run<Output>; started: boolean }) {
		super(on, answer.run.id);
		this.run = answer.run;
		this.started = answer.started;
	}
}

function word(o: Word): Word {
	return { who: o.who, note: o.note } as Word;
}

/** Returns a key that no other message has. */
function newKey(): string {
	const bytes = new Uint8Array(16);
	const random = (globalThis as { crypto?: Crypto }).crypto;
	if (random) random.getRandomValues(bytes);
	else bytes.forEach((_, i) => { bytes[i] = Math.random() * 256; }); // Node.js 18
	return `msg_${Date.now().toString(36)}_${Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")}`;
}
