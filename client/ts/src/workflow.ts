import type * as api from "./api.js";
import { type CallOptions, type Connection, known } from "./connection.js";
import { StartedRun } from "./run.js";

/** How a run is started. */
export interface StartOptions extends CallOptions {
	/** Labels by which lists can be filtered; at most 20. */
	labels?: { [name: string]: string } | null;
	/** When the run is cancelled, within the next 10 years. */
	deadline?: Date | string | null;
	/** Time from the deadline until the run is terminated, such as 30s. Default: a minute. */
	grace?: string | null;
	/** Version of the module, as declared by its author or numbered by the server. Default: the newest. */
	version?: string | null;
	/** Of all runs with the same key, only some are in progress at once. */
	concurrency_key?: string | null;
	/** How many of them. Default: 1. */
	concurrency?: number | null;
	/** Priority in the queue: the highest goes first, then the oldest. */
	priority?: number | null;
}

/** The input may be left out if the workflow takes none, or anything. */
type Given<Input> = undefined extends Input ? [input?: Input, o?: StartOptions] : [input: Input, o?: StartOptions];

/** A workflow of a module. Making a handle sends nothing. */
export class WorkflowHandle<Input = unknown, Output = unknown> {
	readonly module: string;
	readonly name: string;
	readonly #on: Connection;

	/** Use `client.workflow(module, name)`. */
	constructor(on: Connection, module: string, name: string) {
		this.#on = on;
		this.module = module;
		this.name = name;
	}

	/**
	 * Starts a run, and returns once it is on disk: it will be completed. Choose an id that identifies its work, such as
	 * order-4711. The same id, workflow and input never start a second run, so after {@link Lost} repeat it with the same id.
	 * The error is {@link Refused} with code `conflict` if the id belongs to something else.
	 */
	async start(id: string, ...[input, o = {}]: Given<Input>): Promise<StartedRun<Output>> {
		const { signal, timeout, ...terms } = o;
		const body: api.StartRun = { ...terms, deadline: date(o.deadline), id, module: this.module, workflow: this.name, input };
		return new StartedRun<Output>(this.#on, await this.#on.do({
			method: "POST", path: "/runs", body, again: known("id", id, "never starts a second run"),
		}, { signal, timeout }));
	}

	/** Starts a run, or finds the one with this id, and waits for its output. See {@link start} and `wait` of a run. */
	async run(id: string, ...given: Given<Input>): Promise<Output> {
		const { signal, timeout } = given[1] ?? {};
		const begun = Date.now();
		const run = await this.start(id, ...given);
		return run.wait({ signal, timeout: timeout === undefined ? undefined : Math.max(1, timeout - (Date.now() - begun)) });
	}
}

function date(d: Date | string | null | undefined): string | null {
	return d instanceof Date ? d.toISOString() : d ?? null;
}
