// Values that are asked for again when they are old.
import { span } from "./time"

/** Returns a function that returns the value of fetch, and calls it again once the value is older than ttl. */
export function fresh<T>(ttl: number | string, fetch: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined, at = 0
  return () => {
    if (value && Date.now() - at < span(ttl)) return value
    at = Date.now()
    const asked = fetch()
    value = asked
    asked.catch(() => { if (value === asked) value = undefined }) // a failure is not kept
    return asked
  }
}
