/** A server-sent event (WHATWG HTML, section 9.2). One without data only has an id. */
export interface Event {
	name: string;
	data: string;
	id: string | undefined;
}

/**
 * Yields the events of a stream until it ends. An event without an empty line after it is not complete, and is not yielded.
 * read returns what arrives next, or undefined at the end.
 */
export async function* events(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Event, void, void> {
	let name = "", id: string | undefined, data: string[] = [];
	for await (const line of lines(read)) {
		if (line === "") {
			if (data.length > 0 || id !== undefined) yield { name, data: data.join("\n"), id };
			name = "";
			id = undefined;
			data = [];
			continue;
		}
		const colon = line.indexOf(":");
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
		if (field === "event") name = value;
		else if (field === "data") data.push(value);
		else if (field === "id") id = value;
	}
}

/** Yields the complete lines of a stream. A record of a log can be one of many megabytes, so nothing is searched twice. */
async function* lines(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<string, void, void> {
	const decoder = new TextDecoder();
	let begun: string[] = [];
	for (let bytes = await read(); bytes !== undefined; bytes = await read()) {
		const parts = decoder.decode(bytes, { stream: true }).split("\n");
		const last = parts.pop() ?? "";
		for (const part of parts) {
			const line = begun.length > 0 ? begun.join("") + part : part;
			begun = [];
			yield line.endsWith("\r") ? line.slice(0, -1) : line;
		}
		if (last !== "") begun.push(last);
	}
}
