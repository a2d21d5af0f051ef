import type { Problem } from "./api.js";
import { FlawlessError, Lost, Refused, TimedOut, Unreachable } from "./error.js";
import { type Event, events } from "./event.js";

/** How to reach the server. The default is the server on this machine. */
export interface Options {
	/**
	 * Where the server is. A path may follow, if a proxy takes it off. Default: `FLAWLESS_URL`, or the origin of the page in
	 * a browser, or `http://127.0.0.1:27288`.
	 */
	url?: string;
	/** The bearer token, if the server requires one. Default: `FLAWLESS_TOKEN`. Never give it to a browser. */
	token?: string;
	/** Send the token to another machine without encryption. Only for networks that you trust. */
	unencrypted?: boolean;
	/** The id of the store that requests are for. A server with another store rejects them. Default: any. */
	store?: string;
	/**
	 * How long a request is repeated if its answer is lost, for instance because the server restarts, in milliseconds. Only
	 * requests that are safe to repeat are. Default: a minute. 0 never repeats.
	 */
	patience?: number;
	/** After how many milliseconds without an answer it counts as lost; waiting for a run does not count. Default: 30 seconds. */
	answerTimeout?: number;
	/** Called with the reason when the client starts to repeat a request. */
	repeating?: (why: Error) => void;
	/** Carries the requests. Default: the global one. */
	fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** What ends a request early. */
export interface CallOptions {
	/**
	 * Ends the request, which then fails with the signal's reason. The server may have carried it out all the same; a run
	 * goes on.
	 */
	signal?: AbortSignal | undefined;
	/**
	 * After how many milliseconds to give up, repetitions included. The error is {@link TimedOut}, or {@link Lost} if the
	 * server may have carried out the request.
	 */
	timeout?: number | undefined;
}

/**
 * What to do if the answer of a request is lost. `same` is set if repeating the request is safe, and says why: "with the
 * id X". `check` says what a person must do before repeating it; it is missing if the request changes nothing.
 */
export interface Again {
	same?: string;
	check?: string;
	/** Called before each repetition of a request that was sent. */
	onRepeat?: () => void;
}

export const reads: Again = { same: "which changes nothing" };
export const harmless: Again = { same: "which is safe", check: "it is safe to repeat it" };

/** For a request that the server recognises by a key. */
export function known(what: string, key: string, twice: string): Again {
	return { same: `with the ${what} ${key}`, check: `repeat it with the ${what} ${key}, which ${twice}` };
}

/** For a request that must not be repeated before somebody has checked. */
export function unique(check: string): Again {
	return { check };
}

/** Parameters of a URL. Undefined ones are left out, lists are repeated. */
export type Query = { [name: string]: string | number | boolean | Date | readonly string[] | undefined };

/** A request of the API. */
export interface Request {
	method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
	/** What follows /api/v1. */
	path: string;
	query?: Query | undefined;
	/** Sent as JSON, unless it is undefined. */
	body?: unknown;
	again: Again;
	/** The server answers only when something happens: ask again after a while. */
	waits?: boolean;
}

/** The answer of a list: a page of it, and the parameters of the next one. */
export interface Listed<T> {
	page: T[];
	next: Query | undefined;
}

const firstPause = 100, maxPause = 2_000; // between repetitions
const maxWait = 50_000; // of one request that waits: proxies and runtimes end silent ones after a minute or more
const maxSilence = 45_000; // of a stream, in which the server says every 15 seconds that it is alive
const maxTimer = 2 ** 31 - 1; // longer timers fire at once

/** The error of an exchange without an answer. */
class Broken extends Unreachable {
	/** Whether the server may have received the request. */
	readonly sent: boolean;
	/** Whether a browser may have refused the answer, because the server is of another origin than the page. */
	readonly foreign: boolean;

	constructor(base: string, cause: unknown, sent: boolean, foreign = false) {
		const why = reasons(cause).join(": ") || "no reason given";
		const hint = foreign ? "; a server refuses web pages of other origins: go by way of your application" : "";
		super(sent ? `lost the connection to the server at ${base}: ${why}${hint}` : `no server answers at ${base}: ${why}; start one with: flawless up`, { cause });
		this.name = "Unreachable";
		this.sent = sent;
		this.foreign = foreign;
	}
}

/** The texts of an error and its causes. */
function reasons(e: unknown): string[] {
	if (!(e instanceof Error)) return e === undefined ? [] : [String(e)];
	const code = (e as { code?: unknown }).code;
	return [e.message || (typeof code === "string" ? code : e.name), ...reasons(e.cause)];
}

/** Codes of errors in Node.js and Bun that say that nothing was sent. */
const unsentCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT", "ConnectionRefused", "FailedToOpenSocket"]);

/** Whether a request failed before it was sent. Browsers do not tell. */
function unsent(e: unknown): boolean {
	if (!(e instanceof Error)) return false;
	const code = (e as { code?: unknown }).code;
	// Deno has no codes: "client error (Connect)" is about the connection, and only about it.
	return (typeof code === "string" && unsentCodes.has(code)) || /client error \(Connect\)/.test(e.message) || unsent(e.cause);
}

/** The end of a call: by its signal, or after its time. */
class Limit {
	readonly #end = new AbortController();
	readonly #release: () => void;

	constructor(o: CallOptions, what: string) {
		const stop = () => this.#end.abort(o.signal?.reason);
		let timer: ReturnType<typeof setTimeout> | undefined;
		if (o.timeout !== undefined && o.timeout <= maxTimer) {
			timer = setTimeout(() => this.#end.abort(new TimedOut(`${what}: there is no answer after ${o.timeout} ms`)), o.timeout);
		}
		if (o.signal?.aborted) stop();
		o.signal?.addEventListener("abort", stop);
		this.#release = () => {
			clearTimeout(timer);
			o.signal?.removeEventListener("abort", stop);
		};
	}

	get over(): boolean {
		return this.#end.signal.aborted;
	}

	get reason(): unknown {
		return this.#end.signal.reason;
	}

	release(): void {
		this.#release();
	}

	/** Waits. It returns early when the limit is reached. */
	pause(ms: number): Promise<void> {
		return new Promise((resolve) => {
			const done = () => {
				clearTimeout(timer);
				this.#end.signal.removeEventListener("abort", done);
				resolve();
			};
			const timer = setTimeout(done, ms);
			this.#end.signal.addEventListener("abort", done);
			if (this.over) done();
		});
	}

	/** Returns a controller that also ends with the limit, and what releases it. */
	child(): [AbortController, () => void] {
		const c = new AbortController();
		const stop = () => c.abort(this.reason);
		this.#end.signal.addEventListener("abort", stop);
		if (this.over) stop();
		return [c, () => this.#end.signal.removeEventListener("abort", stop)];
	}
}

/** Sends requests to one server, and repeats those that are safe to repeat. */
export class Connection {
	readonly #base: string;
	readonly #foreign: boolean;
	readonly #headers: { [name: string]: string };
	readonly #patience: number;
	readonly #answerTimeout: number;
	readonly #repeating: ((why: Error) => void) | undefined;
	readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;
	#reached = false;

	constructor(o: Options) {
		const page = (globalThis as { location?: { href: string } }).location?.href;
		const inPage = page?.startsWith("http") ?? false; // Deno may have a location, too: the file that runs
		const given = o.url || environment("FLAWLESS_URL") || (inPage ? "/" : "http://127.0.0.1:27288");
		let url: URL;
		try {
			url = new URL(given, inPage ? page : undefined);
		} catch {
			throw new FlawlessError("invalid", `${JSON.stringify(given)} is no URL of a server; give one such as http://127.0.0.1:27288`);
		}
		if ((url.protocol !== "http:" && url.protocol !== "https:") || url.username || url.password) {
			throw new FlawlessError("invalid", "the URL of the server must begin with http:// or https:// and have no user; give the token as an option");
		}
		this.#base = url.origin + url.pathname.replace(/\/+$/, "");
		this.#foreign = inPage && url.origin !== new URL(page!).origin;
		const token = o.token || environment("FLAWLESS_TOKEN");
		if (token && url.protocol === "http:" && !isLoopback(url.hostname) && !o.unencrypted) {
			throw new FlawlessError("denied", `the token would be sent unencrypted to ${this.#base}; use https://, or the option unencrypted on a network that you trust`);
		}
		this.#headers = {};
		if (token) this.#headers["Authorization"] = `Bearer ${token}`;
		if (o.store) this.#headers["Flawless-Store"] = o.store;
		this.#patience = o.patience ?? 60_000;
		this.#answerTimeout = Math.min(o.answerTimeout ?? 30_000, maxTimer);
		this.#repeating = o.repeating;
		this.#fetch = o.fetch ?? ((to, init) => fetch(to, init));
	}

	/** Makes a request, and returns the document in the answer; undefined if there is none. */
	async do<T>(r: Request, o: CallOptions = {}): Promise<T> {
		return (await this.#exchange<T>(r, o))[0];
	}

	/** Fetches a page of a list. */
	async page<T>(path: string, query: Query, o: CallOptions = {}): Promise<Listed<T>> {
		const [page, link] = await this.#exchange<T[]>({ method: "GET", path, query, again: reads }, o);
		const next = /^<[^>?]*\?([^>]*)>/.exec(link ?? "")?.[1];
		return { page, next: next === undefined || page.length === 0 ? undefined : Object.fromEntries(new URLSearchParams(next)) };
	}

	/** Yields the entries of a list, page by page. */
	async *list<T>(path: string, from: Query, o: CallOptions = {}): AsyncGenerator<T, void, void> {
		for (let query: Query | undefined = { ...from, limit: 1000 }; query !== undefined; ) {
			const { page, next }: Listed<T> = await this.page<T>(path, query, o);
			yield* page;
			query = next;
		}
	}

	/**
	 * Yields the events of a stream over as many connections as that takes, until take says that it was the last one. Each new
	 * connection begins after the last event that was received. If there was none, events may be missing, and gap is yielded.
	 */
	async *listen<T>(r: Request, o: CallOptions, take: (e: Event) => { last?: boolean; value?: T }, gap?: T): AsyncGenerator<T, void, void> {
		const limit = new Limit(o, `${r.method} ${r.path}`);
		const trying = new Repetition(this.#patience, this.#repeating, r.again, limit, () => this.#reached);
		let last: string | undefined;
		let opened = false;
		try {
			for (;;) {
				const [ending, release] = limit.child();
				let silence: ReturnType<typeof setTimeout> | undefined;
				try {
					silence = setTimeout(() => ending.abort(new Error(`there is no answer after ${this.#answerTimeout} ms`)), this.#answerTimeout);
					const response = await this.#send(r, ending.signal, { Accept: "text/event-stream", ...(last === undefined ? {} : { "Last-Event-ID": last }) });
					clearTimeout(silence);
					if (opened && last === undefined && gap !== undefined) yield gap;
					opened = true;
					const reader = response.body?.getReader();
					const read = async () => {
						clearTimeout(silence); // it does not run while the caller works on an event
						silence = setTimeout(() => ending.abort(new Error(`the stream has been silent for ${maxSilence} ms`)), maxSilence);
						try {
							const bytes = (await reader?.read())?.value;
							if (bytes !== undefined) trying.progress(); // be it that the server is alive
							return bytes;
						} catch (e) {
							throw new Broken(this.#base, ending.signal.aborted ? ending.signal.reason : e, true);
						} finally {
							clearTimeout(silence);
						}
					};
					for await (const e of events(read)) {
						if (e.name === "problem") throw refusal(500, e.data);
						const taken = e.data === "" ? {} : take(e);
						if (e.id !== undefined) last = e.id;
						if (taken.value !== undefined) yield taken.value;
						if (taken.last) return;
					}
					throw new Broken(this.#base, new Error("the server closed the stream"), true);
				} catch (e) {
					await trying.after(e);
				} finally {
					clearTimeout(silence);
					release();
					ending.abort(); // closes the connection
				}
			}
		} finally {
			limit.release();
		}
	}

	/** Makes a request until there is an answer. It returns the document and the Link header. */
	async #exchange<T>(r: Request, o: CallOptions): Promise<[T, string | null]> {
		const limit = new Limit(o, `${r.method} ${r.path}`);
		const trying = new Repetition(this.#patience, this.#repeating, r.again, limit, () => this.#reached);
		try {
			for (;;) {
				const [ending, release] = limit.child();
				let rest = false; // a request that waits has waited long enough
				const timer = setTimeout(() => {
					rest = r.waits ?? false;
					ending.abort(new Error(`there is no answer after ${this.#answerTimeout} ms`));
				}, r.waits ? maxWait : this.#answerTimeout);
				try {
					const response = await this.#send(r, ending.signal, { Accept: "application/json" });
					return [await this.#document<T>(response, ending.signal), response.headers.get("Link")];
				} catch (e) {
					if (!rest || limit.over) await trying.after(e);
				} finally {
					clearTimeout(timer);
					release();
				}
			}
		} finally {
			limit.release();
		}
	}

	/** Makes a request once, and returns the response unless it is a problem. */
	async #send(r: Request, signal: AbortSignal, headers: { [name: string]: string }): Promise<Response> {
		const body = r.body === undefined ? undefined : JSON.stringify(r.body);
		let response: Response;
		try {
			response = await this.#fetch(this.#base + "/api/v1" + r.path + encoded(r.query), {
				method: r.method,
				headers: { ...this.#headers, ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
				body: body ?? null,
				cache: "no-store",
				redirect: "manual", // would take the token along
				signal,
			});
		} catch (e) {
			throw new Broken(this.#base, signal.aborted ? signal.reason : e, !unsent(e), this.#foreign && !this.#reached);
		}
		this.#reached = true;
		if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
			throw new FlawlessError("unexpected", `the server at ${this.#base} redirects to another address; give the client that one`);
		}
		if (response.status >= 400 && !(r.path === "/health" && response.status === 503)) {
			throw refusal(response.status, await this.#text(response, signal));
		}
		return response;
	}

	async #text(response: Response, signal: AbortSignal): Promise<string> {
		try {
			return await response.text();
		} catch (e) {
			throw new Broken(this.#base, signal.aborted ? signal.reason : e, true);
		}
	}

	async #document<T>(response: Response, signal: AbortSignal): Promise<T> {
		const text = await this.#text(response, signal);
		if (text === "") return undefined as T;
		try {
			return JSON.parse(text) as T;
		} catch (cause) {
			throw foreign(response.status, text, cause);
		}
	}
}

/** Decides whether a request is repeated, and waits until then. */
class Repetition {
	#since: number | undefined; // when it was first repeated without progress
	#pause = firstPause;
	#sent = false;
	#told = false;

	constructor(
		private readonly patience: number,
		private readonly repeating: ((why: Error) => void) | undefined,
		private readonly again: Again,
		private readonly limit: Limit,
		private readonly reached: () => boolean,
	) {}

	/** Something has arrived: patience begins anew. */
	progress(): void {
		this.#since = undefined;
		this.#pause = firstPause;
	}

	/** Returns when the request may be repeated after an error, and throws what the caller gets if it may not. */
	async after(e: unknown): Promise<void> {
		const broken = e instanceof Broken;
		const passing = broken || (e instanceof Unavailable) || (e instanceof Refused && passes(e));
		this.#sent ||= passing && !(broken && !e.sent);
		if (this.limit.over) throw this.#given(this.limit.reason, e);
		if (!passing) throw e;
		// A request that was not sent has no effect, so repeating it is safe; but a server that never answered is not there.
		const may = this.again.same !== undefined || (broken && !e.sent);
		const absent = broken && (!e.sent || e.foreign) && !this.reached() && this.#since === undefined;
		if (!may || absent || this.patience <= 0 || (this.#since !== undefined && Date.now() - this.#since > this.patience)) {
			throw this.#unknown(e as Error);
		}
		if (!this.#told && this.repeating) {
			this.#told = true;
			this.repeating(new Error(`${(e as Error).message}; repeating the request for up to ${this.patience} ms, ${this.again.same ?? "which was not sent"}`, { cause: e }));
		}
		this.#since ??= Date.now();
		await this.limit.pause(this.#pause * (0.5 + Math.random() / 2)); // so that clients do not all come back at once
		this.#pause = Math.min(2 * this.#pause, maxPause);
		if (this.limit.over) throw this.#given(this.limit.reason, e);
		if (this.#sent) this.again.onRepeat?.();
	}

	/** The error of a request that has reached its limit. */
	#given(reason: unknown, last: unknown): unknown {
		if (!(reason instanceof TimedOut)) return reason; // the caller's own
		if (this.#sent && this.again.check !== undefined) return this.#unknown(reason);
		return last instanceof Broken && !last.sent ? new TimedOut(`${reason.message}; ${last.message}`) : reason;
	}

	/** The error of a request that the server may have carried out. */
	#unknown(e: Error): Error {
		if (this.again.check === undefined || !this.#sent) return e;
		return new Lost(`${e.message}; the server may have carried out the request: ${this.again.check}`, { cause: e });
	}
}

/** An answer without a problem that is over after a while: of a proxy whose server is away. */
class Unavailable extends FlawlessError {
	constructor(message: string) {
		super("unexpected", message);
		this.name = "FlawlessError";
	}
}

/** Whether what a server rejected is accepted after a while. */
function passes(e: Refused): boolean {
	return e.code === "stopping" || e.code === "fenced" || e.status === 502 || e.status === 503;
}

/** Converts the body of a refusal to an error. */
function refusal(status: number, text: string): FlawlessError {
	let problem: Partial<Problem> = {};
	try {
		problem = JSON.parse(text) ?? {};
	} catch {
		// not one of ours
	}
	if (!problem.detail && !problem.title) {
		const e = foreign(status, text);
		return status === 502 || status === 503 || status === 504 ? new Unavailable(e.message) : e;
	}
	return new Refused({ ...problem, status: problem.status ?? status, detail: problem.detail ?? "" });
}

function foreign(status: number, text: string, cause?: unknown): FlawlessError {
	return new FlawlessError("unexpected", `the answer (status ${status}) does not come from a Flawless server; check the address, and any proxy in between. It said: ${JSON.stringify(text.trim().slice(0, 200))}`, { cause });
}

function encoded(q: Query | undefined): string {
	const all = new URLSearchParams();
	for (const [name, value] of Object.entries(q ?? {})) {
		if (value === undefined) continue;
		for (const v of Array.isArray(value) ? value : [value]) all.append(name, v instanceof Date ? v.toISOString() : String(v));
	}
	const text = all.toString();
	return text && "?" + text;
}

/** Returns an environment variable, or undefined where there is none, or where the program may not read it. */
function environment(name: string): string | undefined {
	try {
		return (globalThis as { process?: { env?: { [name: string]: string | undefined } } }).process?.env?.[name];
	} catch {
		return undefined; // Deno without --allow-env
	}
}

function isLoopback(host: string): boolean {
	return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}
