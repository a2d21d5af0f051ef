// @ts-check
/**
 * Lets a web page follow the data of one run and send messages to it, by way of your application.
 *
 * No event is lost or repeated when a connection breaks: the page names the last event it has (`Last-Event-ID`).
 * No message arrives twice: each has a key, and is sent again with the same key until it is answered.
 */

/**
 * The state of the connection:
 * - `connecting`: the first connection is being made
 * - `live`: changes of the run arrive as they happen
 * - `lost`: the connection broke; `retry` is the time in milliseconds until the next attempt
 * - `ended`: the run has ended, and nothing more will change
 * - `refused`: the application answered with an error that does not go away by itself; `error` has its text
 * @typedef {{name: "connecting" | "live" | "lost" | "ended" | "refused", retry?: number, error?: string}} State
 *
 * @typedef {{status: string, output?: unknown}} End  how the run ended
 *
 * @typedef {object} Handlers
 * @property {(data: any) => void} data  called with the run's data, now and whenever it changes
 * @property {(end: End) => void} [end]  called when the run has ended
 * @property {(state: State) => void} [state]  called when the state of the connection changes
 *
 * @typedef {object} Connection
 * @property {(type: string, value?: unknown) => Promise<void>} send  sends a message; resolves once the run has it on
 *   disk, and rejects with a {@link Refused} if the run does not accept it
 * @property {() => void} close  stops following; messages that were not answered are given up
 */

/** The application or the engine refused a message. Sending it again does not help. */
export class Refused extends Error {
	/** @param {number} status  of HTTP  @param {string} code  such as `invalid` or `conflict`  @param {string} text */
	constructor(status, code, text) {
		super(text);
		this.name = "Refused";
		this.status = status;
		this.code = code;
	}
}

/** How long the page waits before it tries again, and for a sign of life, in milliseconds. */
const firstPause = 250, maxPause = 10_000, maxSilence = 45_000;

/**
 * Follows a run. `GET base/events` must lead to `/api/v1/runs/ID/data/events`, and `POST base/messages` to
 * `/api/v1/runs/ID/messages`.
 * @param {string} base  such as `/bookings/17`
 * @param {Handlers} on
 * @returns {Connection}
 */
export function connect(base, on) {
	const over = new AbortController();
	void follow(`${base}/events`, on, over.signal);
	let last = Promise.resolve();
	return {
		send(type, value = null) {
			const message = JSON.stringify({ type, value, key: newKey() });
			const sent = last.then(() => post(`${base}/messages`, message, over.signal));
			last = sent.catch(() => {}); // messages arrive in the order in which they were sent
			return sent;
		},
		close: () => over.abort(new Error("the page has stopped following the run")),
	};
}

/**
 * Reads events until the run has ended, over as many connections as that takes.
 * @param {string} url  @param {Handlers} on  @param {AbortSignal} over
 */
async function follow(url, on, over) {
	const tell = (/** @type {State} */ state) => call(on.state, state);
	let id = "";
	tell({ name: "connecting" });
	for (let pause = firstPause; !over.aborted; pause = Math.min(2 * pause, maxPause)) {
		const begun = Date.now();
		const cut = new AbortController();
		over.addEventListener("abort", () => cut.abort(), { signal: cut.signal });
		let timer = setTimeout(() => cut.abort(), maxSilence);
		const alive = () => {
			clearTimeout(timer);
			timer = setTimeout(() => cut.abort(), maxSilence);
		};
		try {
			const response = await fetch(url, { headers: id ? { "Last-Event-ID": id } : {}, cache: "no-store", signal: cut.signal });
			if (response.ok && response.body) {
				tell({ name: "live" });
				for await (const event of events(response.body, alive)) {
					if (event.name === "data") call(on.data, JSON.parse(event.data));
					if (event.id) id = event.id;
					if (event.name === "end") {
						call(on.end, JSON.parse(event.data));
						return tell({ name: "ended" });
					}
				}
			} else if (!passes(response.status)) {
				return tell({ name: "refused", error: (await problem(response)).message });
			}
		} catch {
			// the connection broke, or was silent for too long
		} finally {
			clearTimeout(timer);
			cut.abort(); // closes the connection
		}
		if (over.aborted) return;
		if (Date.now() - begun > maxPause) pause = firstPause;
		const retry = Math.round(pause * (0.5 + Math.random() / 2)); // so that pages do not all come back at once
		tell({ name: "lost", retry });
		await sleep(retry, over);
	}
}

/**
 * Calls a handler. Its errors are reported as uncaught ones are, and do not stop the connection.
 * @template T  @param {((value: T) => void) | undefined} handler  @param {T} value
 */
function call(handler, value) {
	try {
		handler?.(value);
	} catch (error) {
		reportError(error);
	}
}

/**
 * Yields the events of a stream (WHATWG HTML, section 9.2).
 * @param {ReadableStream<Uint8Array>} body  @param {() => void} alive  called when something arrives
 */
async function* events(body, alive) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "", name = "", data = "", id = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return; // an event without an empty line after it is not complete
		alive();
		const lines = (rest + value).split(/\r?\n/);
		rest = lines.pop() ?? "";
		for (const line of lines) {
			const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
			if (line === "") {
				if (data) yield { name, data: data.slice(1), id };
				name = data = id = "";
			} else if (field === "event") name = text;
			else if (field === "data") data += "\n" + text;
			else if (field === "id") id = text;
		}
	}
}

/**
 * Sends a message until there is an answer.
 * @param {string} url  @param {string} body  @param {AbortSignal} over
 */
async function post(url, body, over) {
	for (let pause = firstPause; ; pause = Math.min(2 * pause, maxPause)) {
		over.throwIfAborted();
		const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: over }).catch(() => null);
		if (response?.ok) return;
		if (response && !passes(response.status)) throw await problem(response);
		await sleep(pause, over);
	}
}

/** Whether an error is over after a while: the application or the engine is away, or has too much to do. @param {number} status */
function passes(status) {
	return status === 408 || status === 429 || status >= 500;
}

/** Reads a problem (RFC 9457). @param {Response} response */
async function problem(response) {
	const text = await response.text().catch(() => "");
	try {
		const { code, detail, title } = JSON.parse(text);
		return new Refused(response.status, code ?? "", detail ?? title ?? text);
	} catch {
		return new Refused(response.status, "", text.trim() || `${response.status} ${response.statusText}`);
	}
}

/** Waits, but not longer than until the browser is online again or over is aborted. @param {number} ms  @param {AbortSignal} over */
function sleep(ms, over) {
	return new Promise((resolve) => {
		const done = () => {
			clearTimeout(timer);
			globalThis.removeEventListener?.("online", done);
			over.removeEventListener("abort", done);
			resolve(undefined);
		};
		const timer = setTimeout(done, ms);
		globalThis.addEventListener?.("online", done);
		over.addEventListener("abort", done);
	});
}

/** A key that no other message has; crypto.randomUUID needs HTTPS. */
function newKey() {
	return "page_" + Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
