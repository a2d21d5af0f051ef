// Requests whose outcome is unknown, and idempotency keys.
import { declareKeys } from "../loop"
import { span } from "./time"

/** The error of a request that may have taken effect, if it was made with onUnknown: "tell". */
export class Interrupted extends Error {
  reason?: string
  key?: string
  repeatUntil?: Date
  constructor(readonly call: number, e: { message: string; reason?: string; key?: string; repeat_until?: number }) {
    super(e.message)
    this.reason = e.reason
    this.key = e.key
    if (e.repeat_until) this.repeatUntil = new Date(e.repeat_until / 1e6)
  }
}
Interrupted.prototype.name = "Interrupted"

/** Declares, while the module is loaded, how long a host honours an Idempotency-Key. */
export function honoursKeys(host: string, within: number | string) {
  declareKeys({ host, within_ms: span(within) })
}
