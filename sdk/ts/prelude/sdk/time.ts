// Durations as people write them.
const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a number of them, or of a text such as "1h30m", "14d" or "250ms". */
export function span(d: number | string): number {
  if (typeof d === "number" && Number.isFinite(d)) return d
  let rest = String(d).trim(), ms = 0
  if (!rest) throw new TypeError("a duration is empty; use milliseconds, or a text such as 30s, 12h or 14d")
  while (rest) {
    const part = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)/.exec(rest)
    if (!part) throw new TypeError(`${JSON.stringify(d)} is not a duration; use milliseconds, or a text such as 30s, 12h or 14d`)
    ms += Number(part[1]) * units[part[2]]
    rest = rest.slice(part[0].length)
  }
  return ms
}
