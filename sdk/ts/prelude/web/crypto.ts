// Web Cryptography (https://www.w3.org/TR/webcrypto-2/): randomness of the run, digests and HMAC.
import { hmac } from "@noble/hashes/hmac.js"
import { sha1 } from "@noble/hashes/legacy.js"
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js"
import { global, host } from "../host"
import { bytesOf, expose } from "./define"

const hashes: Record<string, any> = { "SHA-1": sha1, "SHA-256": sha256, "SHA-384": sha384, "SHA-512": sha512 }
const unknown = (what: string) => new DOMException(`${what} is not supported; SHA-1, SHA-256, SHA-384, SHA-512 and HMAC are`, "NotSupportedError")

function nameOf(algorithm: any): string {
  return String(algorithm?.name ?? algorithm).toUpperCase()
}

function hashOf(algorithm: any) {
  const name = nameOf(algorithm)
  if (!hashes[name]) throw unknown(name)
  return hashes[name]
}

class CryptoKey {
  #raw: Uint8Array
  constructor(readonly type: string, readonly extractable: boolean, readonly algorithm: any, readonly usages: string[], raw: Uint8Array) {
    this.#raw = raw
  }
  static raw(k: CryptoKey) {
    return k.#raw
  }
}
const rawOf = CryptoKey.raw
delete (CryptoKey as any).raw

function mac(key: CryptoKey, usage: string, data: any): Uint8Array {
  if (!key.usages.includes(usage)) throw new DOMException(`the key may not be used to ${usage}`, "InvalidAccessError")
  return hmac(hashOf(key.algorithm.hash), rawOf(key), bytesOf(data))
}

const fromBase64URL = (s: string) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0))
const toBase64URL = (b: Uint8Array) => btoa(String.fromCharCode(...b)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")
const own = (b: Uint8Array) => b.slice().buffer

const subtle = {
  async digest(algorithm: any, data: any) {
    return own(hashOf(algorithm)(bytesOf(data)))
  },
  async importKey(format: string, key: any, algorithm: any, extractable: boolean, usages: string[]) {
    if (nameOf(algorithm) !== "HMAC") throw unknown(`a key for ${nameOf(algorithm)}`)
    if (format !== "raw" && format !== "jwk") throw unknown(`the format ${format}`)
    const raw = format === "jwk" ? fromBase64URL(key.k) : bytesOf(key).slice()
    hashOf(algorithm.hash)
    return new CryptoKey("secret", extractable, { name: "HMAC", hash: { name: nameOf(algorithm.hash) }, length: raw.length * 8 }, [...usages], raw)
  },
  async exportKey(format: string, key: CryptoKey) {
    if (!key.extractable) throw new DOMException("the key is not extractable", "InvalidAccessError")
    if (format === "raw") return own(rawOf(key))
    if (format !== "jwk") throw unknown(`the format ${format}`)
    return { kty: "oct", k: toBase64URL(rawOf(key)), alg: `HS${key.algorithm.hash.name.slice(4)}`, key_ops: key.usages, ext: true }
  },
  async generateKey(algorithm: any, extractable: boolean, usages: string[]) {
    if (nameOf(algorithm) !== "HMAC") throw unknown(`a key for ${nameOf(algorithm)}`)
    const raw = new Uint8Array(algorithm.length ? algorithm.length / 8 : hashOf(algorithm.hash).blockLen)
    host.random(raw)
    return subtle.importKey("raw", raw, algorithm, extractable, usages)
  },
  async sign(_: any, key: CryptoKey, data: any) {
    return own(mac(key, "sign", data))
  },
  async verify(_: any, key: CryptoKey, signature: any, data: any) {
    const want = mac(key, "verify", data), got = bytesOf(signature)
    let differ = want.length ^ got.length
    for (let k = 0; k < want.length; k++) differ |= want[k] ^ got[k]
    return differ === 0
  },
}
for (const name of ["encrypt", "decrypt", "deriveBits", "deriveKey", "wrapKey", "unwrapKey"]) {
  ;(subtle as any)[name] = async () => {
    throw unknown(`crypto.subtle.${name}`)
  }
}

expose({ CryptoKey })
global.crypto = {
  subtle,
  getRandomValues<T extends ArrayBufferView>(into: T): T {
    if (into.byteLength > 65536) throw new DOMException(`at most 65536 bytes at once, not ${into.byteLength}`, "QuotaExceededError")
    host.random(bytesOf(into))
    return into
  },
  randomUUID() {
    const b = new Uint8Array(16)
    host.random(b)
    b[6] = (b[6] & 15) | 64
    b[8] = (b[8] & 63) | 128
    const h = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("")
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`
  },
}
