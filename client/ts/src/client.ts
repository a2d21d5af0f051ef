import type * as api from "./api.js";
import { type CallOptions, Connection, type Options, type Query, reads, type Request, unique } from "./connection.js";
import { Refused } from "./error.js";
import { type Run, RunHandle } from "./run.js";
import { ScheduleHandle } from "./schedule.js";
import { WorkflowHandle } from "./workflow.js";

/** Which runs a list has. All conditions must hold. */
export interface Filter {
	/** Runs with any of these statuses. */
	status?: api.Status | readonly api.Status[];
	module?: string;
	workflow?: string;
	/** Runs created at or after this time. */
	since?: Date | string;
	/** Runs created before this time. */
	until?: Date | string;
	/** Runs with all of these labels. */
	labels?: { readonly [name: string]: string };
	/** Runs started by this run. */
	parent?: string;
	/** Runs whose id begins with this. */
	prefix?: string;
	/** Runs with this text in what went wrong; case does not matter. */
	text?: string;
	/** Only runs with a failed call that is being retried. */
	retrying?: boolean;
	/** How many runs a page has at most. Default: 100. */
	limit?: number;
}

/**
 * A change of a run; or, with reset, the reason why changes may be missing before the next one, such as that a server has
 * stopped: look at the runs again.
 */
export type Change = { run: Run; reset?: undefined } | { run?: undefined; reset: string };

/** A value that runs share. */
export type State<Value = unknown> = Omit<api.State, "value"> & {
	/** Undefined until a run has set it. */
	value?: Value;
};

/**
 * A client of one server. It opens no connections of its own and need not be closed.
 *
 * Requests whose answer is lost are repeated if the server recognises them by an id or a key, or if repeating them is safe:
 * see {@link Options.patience}. Any other request is sent once; its error is {@link Lost}.
 */
export class Client {
	readonly #on: Connection;

	/** Returns a client. It does not connect yet. */
	constructor(o: Options = {}) {
		this.#on = new Connection(o);
	}

	/** Returns a handle on a workflow of a module. Without a name, it is the workflow that is called like its module. */
	workflow<Input = unknown, Output = unknown>(module: string, name: string = module): WorkflowHandle<Input, Output> {
		return new WorkflowHandle<Input, Output>(this.#on, module, name);
	}

	/** Returns a handle on a run. */
	run<Output = unknown>(id: string): RunHandle<Output> {
		return new RunHandle<Output>(this.#on, id);
	}

	/** Yields all runs that match, newest first. */
	async *runs(f: Filter = {}, o?: CallOptions): AsyncGenerator<Run, void, void> {
		for (let cursor: string | undefined = ""; cursor !== undefined; ) {
			const page: api.Page = await this.page(f, cursor, o);
			yield* page.runs;
			cursor = page.next;
		}
	}

	/** Returns a page of runs that match. Its `next` is the cursor of the next one; a page without it is the last. */
	page(f: Filter = {}, cursor = "", o?: CallOptions): Promise<api.Page> {
		const { labels, status, ...rest } = f;
		const query: Query = {
			...rest,
			status: typeof status === "string" ? status : status?.join(","),
			label: Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`),
			retrying: f.retrying || undefined,
			cursor: cursor || undefined,
		};
		return this.#on.do({ method: "GET", path: "/runs", query, again: reads }, o);
	}

	/** Yields every run that changes from now on, over as many connections as that takes. It ends only by an error. */
	watch(o: CallOptions = {}): AsyncGenerator<Change, void, void> {
		return this.#on.listen<Change>({ method: "GET", path: "/events", again: { same: "from where it stopped" } }, o, (e) => {
			if (e.name === "run") return { value: { run: JSON.parse(e.data) } };
			return e.name === "reset" ? { value: { reset: (JSON.parse(e.data) as api.Reset).why } } : {};
		}, { reset: "the connection was lost before the first change" });
	}

	/** Settles a promise of a run with a value. The first value counts; the error for another one is {@link Refused}, with `settled`. */
	settle(token: string, value: unknown, o?: CallOptions): Promise<void> {
		return this.#settle("", token, value ?? null, { value: value ?? null }, o);
	}

	/** Settles a promise of a run with an error. */
	reject(token: string, error: string, o: { who?: string } & CallOptions = {}): Promise<void> {
		return this.#settle("/reject", token, { error, who: o.who }, { error }, o);
	}

	async #settle(verb: string, token: string, body: unknown, as: api.Settlement, o?: CallOptions): Promise<void> {
		let repeated = false;
		const again = { same: "which settles it once", check: "check whether the promise is still open with: flawless workflow promise list RUN", onRepeat: () => { repeated = true; } };
		try {
			await this.#on.do({ method: "POST", path: `/promises/${encodeURIComponent(token)}${verb}`, body, again }, o);
		} catch (e) {
			// Most likely it was settled by the same request, whose answer was lost.
			if (!(repeated && e instanceof Refused && e.settled && same(e.settled, as))) throw e;
		}
	}

	/** Yields the values that runs share, ordered by name. */
	async *states(o?: CallOptions): AsyncGenerator<State, void, void> {
		for (let from: string | undefined = ""; from !== undefined; ) {
			const page: api.States = await this.#on.do({ method: "GET", path: "/states", query: { from: from || undefined, limit: 1000 }, again: reads }, o);
			yield* page.states.map((s) => parsed(s));
			from = page.next;
		}
	}

	/** Returns a value that runs share, who holds it and who waits for it. */
	async state<Value = unknown>(name: string, o?: CallOptions): Promise<State<Value>> {
		return parsed<Value>(await this.#on.do<api.State>({ method: "GET", path: `/states/${encodeURIComponent(name)}`, again: reads }, o));
	}

	/** Yields all schedules, ordered by name. */
	schedules(o?: CallOptions): AsyncGenerator<api.Schedule, void, void> {
		return this.#on.list("/schedules", {}, o);
	}

	/** Returns a handle on a schedule. */
	schedule(name: string): ScheduleHandle {
		return new ScheduleHandle(this.#on, name);
	}

	/** Yields the newest version of each module, ordered by name. */
	modules(o?: CallOptions): AsyncGenerator<api.Module, void, void> {
		return this.#on.list("/modules", {}, o);
	}

	/** Returns the version of the server. */
	version(o?: CallOptions): Promise<api.Build> {
		return this.#on.do({ method: "GET", path: "/version", again: reads }, o);
	}

	/** Returns the condition of the server. */
	health(o?: CallOptions): Promise<api.Health> {
		return this.#on.do({ method: "GET", path: "/health", again: reads }, o);
	}

	/**
	 * Makes any other request of the API with JSON. path follows /api/v1. Only GET requests are repeated if the answer is lost,
	 * unless you say with repeat that it is safe.
	 */
	request<T = unknown>(method: Request["method"], path: string, o: { query?: Query; body?: unknown; repeat?: boolean } & CallOptions = {}): Promise<T> {
		const again = method === "GET" ? reads : o.repeat ? { same: "which you say is safe", check: "it is safe to repeat it" } : unique("check it before you repeat it");
		return this.#on.do({ method, path, query: o.query, body: o.body, again }, o);
	}
}

/** Whether two settlements are the same: their JSON, with members in any order. */
function same(a: api.Settlement, b: api.Settlement): boolean {
	return a.error || b.error ? a.error === b.error : ordered(a.value ?? null) === ordered(b.value);
}

function ordered(value: unknown): string {
	return JSON.stringify(value, (_, v) =>
		v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v);
}

/** Decodes the value of a state, which is JSON. */
function parsed<Value>({ value, ...s }: api.State): State<Value> {
	if (typeof value !== "string") return s;
	return { ...s, value: JSON.parse(value) as Value };
}
