import type { Fault, Problem, Run, Settlement } from "./api.js";

/**
 * The class of an error. The first ones are the server's; later versions may add others.
 * `unreachable`: no server answers, and the request was not carried out, or changes nothing.
 * `the answer was lost`: the server may have carried out the request.
 * `timed out`: the time that you gave is over.
 * `unexpected`: the answer does not come from a Flawless server, or from a later one.
 */
export type Code =
	| "not found" | "invalid" | "conflict" | "refused" | "too large" | "disk full" | "stopping" | "elsewhere" | "fenced"
	| "damaged" | "diverged" | "denied" | "the answer was lost"
	| "unreachable" | "timed out" | "unexpected" | "failed" | "cancelled" | "terminated" | "unresolved"
	| (string & {});

/** The error of a request. `message` says what failed, why, and what to do. */
export class FlawlessError extends Error {
	/** Decide by it, not by the text. */
	readonly code: Code;

	constructor(code: Code, message: string, options?: { cause?: unknown }) {
		super(message, options);
		this.name = new.target.name;
		this.code = code;
	}
}

/** The server rejected the request, and did nothing. */
export class Refused extends FlawlessError {
	/** The HTTP status. */
	readonly status: number;
	/** The invalid parts of the request, which the message names, too. */
	readonly faults: Fault[];
	/** What a promise was settled with before, if the request would have settled it. */
	readonly settled: Settlement | undefined;

	constructor(problem: Pick<Problem, "status" | "detail"> & Partial<Problem>) {
		super(problem.code ?? (problem.status === 400 || problem.status === 422 ? "invalid" : ""), worded(problem));
		this.status = problem.status;
		this.faults = problem.errors ?? [];
		this.settled = problem.settled;
	}
}

/** The detail of a problem, with the faults that it does not name. */
function worded(p: Partial<Problem>): string {
	const detail = (p.errors ?? []).reduce(
		(text, e) => (e.location && !text.includes(e.message) ? `${text}; ${e.location}: ${e.message}` : text),
		p.detail || p.title || "",
	);
	return p.code && detail.endsWith(`: ${p.code}`) ? detail.slice(0, -p.code.length - 2) : detail;
}

/** No server answers. The request was not carried out, or changes nothing. */
export class Unreachable extends FlawlessError {
	constructor(message: string, options?: { cause?: unknown }) {
		super("unreachable", message, options);
	}
}

/** The answer was lost: the server may have carried out the request. `message` says how to find out. */
export class Lost extends FlawlessError {
	constructor(message: string, options?: { cause?: unknown }) {
		super("the answer was lost", message, options);
	}
}

/** The time that you gave is over. A run is not affected by it. */
export class TimedOut extends FlawlessError {
	constructor(message: string) {
		super("timed out", message);
	}
}

/** The run that you waited for ended without output. `code` is its status: failed, cancelled or terminated. */
export class RunEnded extends FlawlessError {
	/** The run. Its `failure` says why it failed. */
	readonly run: Run;

	constructor(run: Run) {
		super(run.status, `run ${run.id} is ${run.status}${run.failure ? `: ${run.failure.message}` : ""}`);
		this.run = run;
	}
}

/** The run that you waited for needs a person's decision: the outcome of a call is unknown. It has not ended. */
export class Unresolved extends FlawlessError {
	/** The run. Its `unresolved` lists the calls. */
	readonly run: Run;

	constructor(run: Run) {
		const calls = (run.unresolved ?? []).map((d) => `; call ${d.call}: ${d.reason}`).join("");
		super("unresolved", `run ${run.id} needs a decision${calls}; see: flawless workflow show ${run.id}`);
		this.run = run;
	}
}
