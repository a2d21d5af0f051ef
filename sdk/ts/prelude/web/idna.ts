// Domain names (https://url.spec.whatwg.org/#concept-domain-to-ascii, UTS #46, RFC 3492). The mapping is derived from what
// the engine knows of Unicode instead of the table of UTS #46; it differs for a few rare characters. Of the rules for
// right-to-left names (RFC 5893), those for letters are checked.

/** The form of a domain on the wire; null if it is invalid. */
export function toASCII(domain: string): string | null {
  if (/^[\0-\x7f]*$/.test(domain)) return domain.toLowerCase()
  if (/[\u2024-\u2026\u2488-\u249b]/.test(domain)) return null // they would become dots
  const out: string[] = [], plainLabels: string[] = []
  for (const label of map(domain).split(".")) {
    if (/^[\0-\x7f]*$/.test(label) && !label.startsWith("xn--")) {
      out.push(label)
      plainLabels.push(label)
      continue
    }
    let plain = label
    if (label.startsWith("xn--")) {
      const decoded = /^[\0-\x7f]*$/.test(label) ? decode(label.slice(4)) : null
      if (decoded === null || decoded === "" || /^[\0-\x7f]*$/.test(decoded) || map(decoded) !== decoded || decoded.normalize("NFC") !== decoded) return null
      plain = decoded
    }
    if (!valid(plain)) return null
    plainLabels.push(plain)
    out.push("xn--" + encode(plain))
  }
  if (plainLabels.some((l) => rtl.test(l)) && !plainLabels.every(oneDirection)) return null
  return out.join(".")
}

// Letters from right to left.
const rtl = /[\u0590\u05be\u05c0\u05c3\u05c6\u05d0-\u05ff\u0608\u060b\u060d\u061b-\u064a\u066d-\u066f\u0671-\u06d5\u06e5\u06e6\u06ee\u06ef\u06fa-\u0710\u0712-\u072f\u074d-\u07a5\u07b1-\u07ea\u07f4\u07f5\u07fa-\u0815\u0840-\u0858\u0860-\u08c9\ufb1d-\ufb4f\ufb50-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u
function oneDirection(label: string): boolean {
  const first = String.fromCodePoint(label.codePointAt(0) ?? 97)
  if (rtl.test(first)) return !Array.from(label).some((c) => !rtl.test(c) && /\p{L}/u.test(c))
  return /\p{L}/u.test(first) && !rtl.test(label)
}

// Case, width and compatibility forms; characters that count for nothing.
const ignored = /[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2064\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0100}-\u{e01ef}]/gu
function map(s: string): string {
  let out = ""
  for (const c of s.replace(ignored, "")) {
    if (c === "ß" || c === "ς" || c === "\u200c" || c === "\u200d") out += c
    else if (c === "ẞ") out += "ß"
    else if (c === "。" || c === "．" || c === "｡") out += "."
    else out += c.normalize("NFKC").toLowerCase().normalize("NFKC")
  }
  return out.normalize("NFC")
}

const disallowed = /[\0-\x2c\x2f\x3a-\x60\x7b-\x9f\p{Cc}\p{Co}\p{Cn}\p{Cs}\p{Z}\u0600-\u0605\u06dd\u070f\u200e\u200f\u2028-\u202e\u2190\u2ff0-\u2ffb\ufff9-\uffff\u{110bd}\u{e0001}-\u{e007f}]/u
function valid(label: string): boolean {
  if (label === "" || /^\p{M}/u.test(label) || disallowed.test(label.replace(/[=<>]/g, "!")) ) return false
  for (let k = 0; k < label.length; k++) {
    const c = label[k]
    if (c !== "\u200c" && c !== "\u200d") continue
    // A joiner must follow a virama (the other rule, for Arabic, needs tables: it is taken as met between Arabic letters).
    const before = label.slice(0, k)
    if (virama.test(before)) continue
    if (c === "\u200d" || !/[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Mongolian}]\p{M}*$/u.test(before) || !/^\p{M}*[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Mongolian}]/u.test(label.slice(k + 1))) return false
  }
  return true
}
const virama = /[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua8c4\ua953\ua9c0\uaaf6\uabed]$/

// Punycode.
const base = 36, tMin = 1, tMax = 26
function adapt(delta: number, points: number, first: boolean): number {
  delta = first ? Math.floor(delta / 700) : delta >> 1
  delta += Math.floor(delta / points)
  let k = 0
  for (; delta > ((base - tMin) * tMax) >> 1; k += base) delta = Math.floor(delta / (base - tMin))
  return k + Math.floor(((base - tMin + 1) * delta) / (delta + 38))
}

function encode(label: string): string {
  const input = Array.from(label, (c) => c.codePointAt(0)!)
  let out = input.filter((c) => c < 128).map((c) => String.fromCharCode(c)).join("")
  const basic = out.length
  let n = 128, delta = 0, bias = 72, handled = basic
  if (basic) out += "-"
  while (handled < input.length) {
    const next = Math.min(...input.filter((c) => c >= n))
    delta += (next - n) * (handled + 1)
    n = next
    for (const c of input) {
      if (c < n) delta++
      if (c !== n) continue
      let q = delta
      for (let k = base; ; k += base) {
        const t = Math.min(Math.max(k - bias, tMin), tMax)
        if (q < t) break
        out += "abcdefghijklmnopqrstuvwxyz0123456789"[t + ((q - t) % (base - t))]
        q = Math.floor((q - t) / (base - t))
      }
      out += "abcdefghijklmnopqrstuvwxyz0123456789"[q]
      bias = adapt(delta, handled + 1, handled === basic)
      delta = 0
      handled++
    }
    delta++
    n++
  }
  return out
}

function decode(s: string): string | null {
  const dash = s.lastIndexOf("-")
  const out = Array.from(dash > 0 ? s.slice(0, dash) : "", (c) => c.codePointAt(0)!)
  let n = 128, i = 0, bias = 72
  for (let at = dash > 0 ? dash + 1 : 0; at < s.length; ) {
    const before = i
    for (let w = 1, k = base; ; k += base) {
      const c = s.charCodeAt(at++)
      const d = c >= 48 && c < 58 ? c - 22 : c >= 97 && c < 123 ? c - 97 : -1
      if (d < 0) return null
      i += d * w
      if (i > 0x7fffffff) return null
      const t = Math.min(Math.max(k - bias, tMin), tMax)
      if (d < t) break
      w *= base - t
    }
    bias = adapt(i - before, out.length + 1, before === 0)
    n += Math.floor(i / (out.length + 1))
    i %= out.length + 1
    if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000)) return null
    out.splice(i++, 0, n)
  }
  return String.fromCodePoint(...out)
}
