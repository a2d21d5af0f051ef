/** Fails the program unless two values have the same JSON. */
export function same(what: string, got: unknown, want: unknown): void {
	if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

/** Returns the error of a promise, which must be of a class. */
export async function failure<E extends Error>(what: string, of: Promise<unknown>, kind: abstract new (...args: never[]) => E): Promise<E> {
	const e = await of.then(() => undefined, (e: unknown) => e);
	if (!(e instanceof kind)) throw new Error(`${what}: ${e}, want ${kind.name}`, { cause: e });
	return e;
}

/** Returns what a generator yields. */
export async function all<T>(of: AsyncIterable<T>): Promise<T[]> {
	const got: T[] = [];
	for await (const x of of) got.push(x);
	return got;
}

/** Waits until a run is as it should be. */
export async function until<T>(what: string, get: () => Promise<T>, good: (x: T) => boolean): Promise<T> {
	const end = Date.now() + 30_000;
	for (;;) {
		const x = await get();
		if (good(x)) return x;
		if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(x)}`);
		await new Promise((done) => setTimeout(done, 50));
	}
}

export function env(name: string): string {
	const value = process.env[name];
	if (!value) throw new Error(`${name} is not set`);
	return value;
}
