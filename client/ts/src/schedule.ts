import type * as api from "./api.js";
import { type CallOptions, type Connection, harmless, known, reads, unique } from "./connection.js";
import { RunHandle, StartedRun } from "./run.js";

/** One schedule, by its name. Making a handle sends nothing. */
export class ScheduleHandle {
	readonly name: string;
	readonly #on: Connection;

	/** Use `client.schedule(name)`. */
	constructor(on: Connection, name: string) {
		this.#on = on;
		this.name = name;
	}

	/** Returns the schedule as it is now. */
	get(o?: CallOptions): Promise<api.Schedule> {
		return this.#on.do({ method: "GET", path: this.#path(), again: reads }, o);
	}

	/** Adds the schedule. Unless replace is set, it must not exist. */
	set(schedule: api.SetSchedule, o: { replace?: boolean } & CallOptions = {}): Promise<api.Schedule> {
		return this.#on.do({
			method: "PUT", path: this.#path(), query: { replace: o.replace || undefined }, body: schedule,
			// The second time it already exists.
			again: o.replace ? harmless : unique(`check whether it exists with: flawless schedule show ${this.name}`),
		}, o);
	}

	/** Stops the schedule from starting runs. */
	pause(o: { note?: string } & CallOptions = {}): Promise<api.Schedule> {
		return this.#on.do({ method: "POST", path: this.#path("/pause"), body: { note: o.note }, again: harmless }, o);
	}

	/** Resumes the schedule with its next time. */
	resume(o?: CallOptions): Promise<api.Schedule> {
		return this.#on.do({ method: "POST", path: this.#path("/resume"), again: harmless }, o);
	}

	/** Starts a run now. The same key never starts a second run. */
	async trigger<Output = unknown>(key: string, o?: CallOptions): Promise<StartedRun<Output>> {
		return new StartedRun<Output>(this.#on, await this.#on.do({
			method: "POST", path: this.#path("/trigger"), query: { key }, again: known("key", key, "never starts a second run"),
		}, o));
	}

	/** Starts the missing runs for all times between from (inclusive) and to (exclusive). */
	backfill(from: Date | string, to: Date | string, o?: CallOptions): Promise<api.Backfill> {
		return this.#on.do({ method: "POST", path: this.#path("/backfill"), query: { from, to }, again: harmless }, o);
	}

	/** Removes the schedule. Its runs are not affected. */
	remove(o?: CallOptions): Promise<void> {
		return this.#on.do({ method: "DELETE", path: this.#path(), again: unique("check whether it still exists with: flawless schedule list") }, o);
	}

	/** Returns a handle on the last run that the schedule started, or undefined. */
	async lastRun<Output = unknown>(o?: CallOptions): Promise<RunHandle<Output> | undefined> {
		const { last_run } = await this.get(o);
		return last_run ? new RunHandle<Output>(this.#on, last_run) : undefined;
	}

	#path(rest = ""): string {
		return `/schedules/${encodeURIComponent(this.name)}${rest}`;
	}
}
