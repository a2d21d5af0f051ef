// What a call, a run or a message carries: as a tree, as it is, as bytes, and its headers. Nothing in it is ever interpreted.
import { copy } from './copy.js'
import { base, h, $, number } from './dom.js'
import { ask as askAPI } from './past.js'

const maxChildren = 200,
  maxHex = 16 << 10,
  maxRaw = 256 << 10

/** A size in bytes, as people say it. */
export function size(n) {
  if (n < 1024) return `${number(n)} byte${n === 1 ? '' : 's'}`
  return n < 1 << 20 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / (1 << 20)).toFixed(1)} MiB`
}

/** Text for a shell, as one word. */
export const quoted = text => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${String(text).replaceAll("'", "'\\''")}'`)

/** The bytes of a body as the API writes it: text, or {base64}. Other JSON values are their text. */
function bytesOf(body) {
  if (body && typeof body === 'object' && typeof body.base64 === 'string' && Object.keys(body).length === 1) {
    return Uint8Array.from(atob(body.base64), c => c.charCodeAt(0))
  }
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body, null, 2))
}

/** The JSON value of a body, or undefined if it is none. raw says that the body is text, which may happen to be JSON. */
function valueOf(body, raw) {
  if (!raw) return body
  if (typeof body !== 'string') return undefined
  try {
    const v = JSON.parse(body)
    return v !== null && typeof v === 'object' ? v : undefined
  } catch {
    return undefined
  }
}

/** A string as JSON. Megabytes in one element would stop the page. */
const long = text =>
  text.length > maxRaw ? `${JSON.stringify(text.slice(0, maxRaw))} … and ${size(text.length - maxRaw)} more; download it to see all` : JSON.stringify(text)

/** The value as a tree that opens level by level. Closed branches have no elements in the page. */
export function tree(value, name = '', depth = 2) {
  const label = name === '' ? [] : [h('span', { class: 'j-key' }, name), ': ']
  if (value === null || typeof value !== 'object') {
    const kind = value === null ? 'null' : typeof value
    return h(
      'div',
      { class: 'j-leaf' },
      ...label,
      h('span', { class: `j-${kind}` }, kind === 'string' ? long(value) : String(value))
    )
  }
  const keys = Object.keys(value),
    list = Array.isArray(value)
  if (!keys.length) return h('div', { class: 'j-leaf' }, ...label, list ? '[]' : '{}')
  const inside = h('div', { class: 'j-in' })
  const el = h(
    'details',
    { class: 'j' },
    h('summary', {}, ...label, h('span', { class: 't3' }, list ? `[${number(keys.length)}]` : `{${number(keys.length)}}`)),
    inside
  )
  let shown = 0
  const more = () => {
    const part = keys.slice(shown, (shown += maxChildren))
    $('.j-more', inside)?.remove()
    inside.append(...part.map(k => tree(value[k], k, depth - 1)))
    if (shown < keys.length)
      inside.append(h('button', { type: 'button', class: 'btn j-more', onclick: more }, `${number(keys.length - shown)} more`))
  }
  el.addEventListener('toggle', () => {
    if (el.open && !shown) more()
  })
  if (depth > 0) {
    el.open = true
    more()
  }
  return el
}

/** The bytes as people look at them: offset, hexadecimal, and text where it is printable. */
export function hex(bytes) {
  const lines = []
  for (let at = 0; at < Math.min(bytes.length, maxHex); at += 16) {
    const part = [...bytes.subarray(at, at + 16)]
    const left = part
      .map(b => b.toString(16).padStart(2, '0'))
      .join(' ')
      .padEnd(47)
    lines.push(
      `${at.toString(16).padStart(8, '0')}  ${left}  ${part.map(b => (b > 31 && b < 127 ? String.fromCharCode(b) : '.')).join('')}`
    )
  }
  if (bytes.length > maxHex) lines.push(`… and ${size(bytes.length - maxHex)} more; download it to see all`)
  return lines.join('\n')
}

function download(bytes, name) {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }))
  h('a', { href: url, download: name.replace(/[^\w.-]+/g, '_') }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/**
 * Shows a payload. body is what the API has of it; load, if set, fetches it when somebody asks for it.
 * raw says that it is bytes and not JSON; headers are pairs; copies are further texts to copy, by the name of their button.
 */
export function payload({ name, body, load, raw = false, headers, copies = {} }) {
  const out = h('section', { class: 'payload', 'aria-label': name })
  const draw = () => {
    const bytes = bytesOf(body),
      value = valueOf(body, raw)
    const views = {
      Tree: value === undefined ? undefined : () => h('div', { class: 'j-top' }, tree(value)),
      Raw: () => {
        const text = new TextDecoder().decode(bytes.subarray(0, maxRaw))
        return h(
          'pre',
          { tabindex: '0' },
          bytes.length > maxRaw ? `${text}\n… and ${size(bytes.length - maxRaw)} more; download it to see all` : text
        )
      },
      Hex: () => h('pre', { class: 'hex', tabindex: '0' }, hex(bytes)),
      Headers: headers?.length
        ? () => h('dl', { class: 'kv' }, ...headers.flatMap(([k, v]) => [h('dt', {}, h('bdi', {}, k)), h('dd', {}, h('bdi', {}, v))]))
        : undefined
    }
    const place = h('div', { class: 'p-view', tabindex: '0', role: 'group', 'aria-label': name })
    const tabs = Object.keys(views)
      .filter(k => views[k])
      .map(k => h('button', { type: 'button', class: 'tab', 'aria-pressed': 'false', onclick: e => pick(e.currentTarget, k) }, k))
    const pick = (button, k) => {
      tabs.forEach(t => t.setAttribute('aria-pressed', String(t === button)))
      place.replaceChildren(views[k]())
    }
    const text = () => (typeof body === 'string' ? body : new TextDecoder().decode(bytes))
    out.replaceChildren(
      h(
        'header',
        {},
        h('h3', {}, name),
        h('span', { class: 'sub' }, size(bytes.length)),
        h('span', { class: 'grow' }),
        h('span', { class: 'tabs', role: 'group', 'aria-label': `How to show ${name}` }, ...tabs)
      ),
      place,
      h(
        'footer',
        {},
        h('button', { type: 'button', class: 'btn', onclick: e => copy(text(), e.currentTarget) }, 'Copy'),
        h('button', { type: 'button', class: 'btn', onclick: () => download(bytes, name) }, 'Download'),
        ...Object.entries(copies).map(([label, make]) =>
          h('button', { type: 'button', class: 'btn', onclick: e => copy(make(body), e.currentTarget) }, label)
        )
      )
    )
    pick(tabs[0], tabs[0].textContent)
  }
  const ask = async button => {
    button.disabled = true
    try {
      body = await load()
      load = undefined
      draw()
    } catch (err) {
      button.disabled = false
      button.after(h('span', { class: 'st failed', role: 'alert' }, `${err.message}. Try again.`))
    }
  }
  if (load)
    out.append(
      h('header', {}, h('h3', {}, name)),
      h('footer', {}, h('button', { type: 'button', class: 'btn', onclick: e => ask(e.currentTarget) }, 'Load the body'))
    )
  else draw()
  return out
}

/** The request of an http call for a shell. Secrets in it are placeholders, as everywhere. */
export function curl(head, body) {
  const words = ['curl', '-X', head.method, quoted(head.url)]
  for (const [k, v] of head.headers || []) words.push('-H', quoted(`${k}: ${v}`))
  if (body && typeof body === 'object' && body.base64)
    return `printf %s ${quoted(body.base64)} | base64 -d | ${words.join(' ')} --data-binary @-`
  if (body) words.push('--data-raw', quoted(typeof body === 'string' ? body : JSON.stringify(body)))
  return words.join(' ')
}

/** The address of this page, at a place in it. */
export const link = hash => location.origin + base + location.pathname.slice(base.length) + location.search + hash

/** What the server has written into an element: a value, or a mark of one that is too large for the page. */
const written = el => el.dataset?.mark || el.textContent

/** Turns the values that the server has written into a page into viewers, unless they are that already. */
export function viewers(root = document) {
  for (const el of root.querySelectorAll('[data-payload]')) {
    if (el.querySelector('.payload')) continue
    el.written = written(el)
    const { payload: name, load, pick } = el.dataset
    if (load) {
      const value = async () => (pick ? pick.split('.') : []).reduce((v, key) => v?.[key], (await askAPI(load)).body)
      el.replaceChildren(payload({ name, load: value }))
      continue
    }
    let body = el.written
    try {
      body = JSON.parse(body)
    } catch {
      /* it is shown as it is */
    }
    el.replaceChildren(payload({ name, body }))
  }
}

/** Says whether a fresh copy of a page may change an element: not a viewer whose value is the same, which may be scrolled or open. */
export const mayMorph = (now, next) => now.written === undefined || now.written !== written(next)
