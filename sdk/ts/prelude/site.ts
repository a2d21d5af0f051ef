// Places in the user's sources: call sites, and stacks of errors.
import { host } from "./host"

const sources: string[] = JSON.parse(host.sources || "[]")
const isPackage = sources.map((s) => s.startsWith("node_modules/"))

/**
 * The place of the user's code that makes a call, such as "shop/order.ts:12". If only code of packages is on the stack,
 * as after an await in a package, it is that of the innermost package.
 */
export function site(): string {
  let other = ""
  for (let level = 0; ; level++) {
    const place = host.frame(level)
    if (place === -2) return other
    if (place < 0) continue
    const source = Math.floor(place / 2 ** 20)
    const text = `${sources[source]}:${place & 0xfffff}`
    if (!isPackage[source]) return text
    other ||= text
  }
}

/** A place as text. */
export const placeName = (place: number) => `${sources[Math.floor(place / 2 ** 20)]}:${place & 0xfffff}`

/** Where the async functions of the user's code await: two lines for each, as the engine reads them. */
export function awaits(): string[] {
  return await_(host.awaits(), "await")
}

/** The same for functions that awaited what nothing could settle any more. */
export function lost(): string[] {
  return await_(host.lost(), "awaits a promise that nothing can settle any more")
}

function await_(all: (string | number)[], state: string): string[] {
  const user: string[] = [], packages: string[] = []
  for (let k = 0; k < all.length; k += 2) {
    const place = all[k + 1] as number
    if (place < 0) continue
    ;(isPackage[Math.floor(place / 2 ** 20)] ? packages : user).push(`${state}\n    ${all[k] || "<anonymous>"}  ${placeName(place)}`)
  }
  return user.length > 0 ? user : packages
}

;(Error as any).prepareStackTrace = (_: Error, frames: any[]) => {
  const lines: string[] = []
  for (const f of frames) {
    const file = f.getFileName()
    if (file === "flawless:prelude") continue
    if (!file || f.isNative?.()) continue
    let at = file
    if (file === "bundle.js") {
      const place = host.locate(f.getLineNumber(), f.getColumnNumber())
      if (place < 0) continue
      at = `${sources[Math.floor(place / 2 ** 20)]}:${place & 0xfffff}`
    }
    lines.push(`    at ${f.getFunctionName() || "<anonymous>"} (${at})`)
  }
  return lines.join("\n")
}
