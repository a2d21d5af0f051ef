// Small things. Text from outside only ever becomes text nodes.
export const base = document.documentElement.dataset.base || ''
export const $ = (q, el = document) => el.querySelector(q)
export const $$ = (q, el = document) => [...el.querySelectorAll(q)]

const set = (el, props) => {
  for (const [k, v] of Object.entries(props)) {
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v)
    else if (v !== undefined && v !== false) el.setAttribute(k, v === true ? '' : v)
  }
}
// Characters that change the order of others, or cannot be seen, are shown by their number: internal/web/view.go does so, too.
const hidden = /[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
const visible = c => typeof c === 'string' ? c.replace(hidden, x => `⟨U+${x.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`) : c
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag)
  set(el, props); el.append(...children.flat().filter(c => c != null && c !== false).map(visible))
  return el
}
export function s(tag, props = {}, ...children) {
  const el = document.createElementNS('http://www.w3.org/2000/svg', tag)
  set(el, props); el.append(...children)
  return el
}
const paths = {
  turn: 'M8 2v3.500M8 10.500V14M10.500 8a2.500 2.500 0 1 1-5 0 2.500 2.500 0 0 1 5 0', call: 'M3 6h9.500M10 3.500 12.500 6M13 10H3.500M6 12.500 3.500 10', answer: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M5.500 8.200 7.300 10l3.300-3.700',
  bad: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M6 6l4 4M10 6l-4 4', line: 'M3 4.500h10M3 8h10M3 11.500h6', data: 'M6 3c-2 0-1.500 1.500-1.500 3S3.500 8 3 8c.5 0 1.500.5 1.500 2S4 13 6 13M10 3c2 0 1.500 1.500 1.500 3S12.500 8 13 8c-.5 0-1.500.5-1.500 2s.500 3-1.500 3',
  timer: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0M8 4.500V8l2.500 1.500', doubt: 'M8 1.800 14.200 8 8 14.200 1.800 8zM8 5.200v3.300M8 10.700v.1', person: 'M10.500 5a2.500 2.500 0 1 1-5 0 2.500 2.500 0 0 1 5 0M3 14c0-6 10-6 10 0', first: 'M12 3.500 6 8l6 4.500zM4 3.500v9', previous: 'M11 3.500 5 8l6 4.500z', following: 'M5 3.500 11 8l-6 4.500z', last: 'M4 3.500 10 8l-6 4.500zM12 3.500v9', search: 'M10.500 10.500 14 14M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0',
}
export const icon = name => s('svg', { class: 'i', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, s('path', { d: paths[name] || paths[{ completed: 'answer', failed: 'bad', unresolved: 'doubt', waiting: 'timer' }[name]] || paths.line }))

/** A duration in ms, as relative times say it. */
export function span(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  if (ms < 1000) return `${Math.floor(ms)} ms`
  if (ms < 6e4) return `${Math.floor(ms / 1000)} s`
  if (ms < 36e5) return `${Math.floor(ms / 6e4)} min`
  if (ms < 1728e5) return `${Math.floor(ms / 36e5)} h`
  return `${Math.floor(ms / 864e5)} d`
}
/** A duration in ms, exactly. */
export function exact(ms) {
  if (ms < 0.95) return `${Math.round(ms * 1000)} µs`
  if (ms < 999.5) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  if (ms < 6e4) return `${(ms / 1000).toFixed(ms < 1e4 ? 2 : 1)} s`
  if (ms < 36e5) return `${Math.floor(ms / 6e4)} min ${Math.floor(ms % 6e4 / 1000)} s`
  if (ms < 864e5) return `${Math.floor(ms / 36e5)} h ${Math.floor(ms % 36e5 / 6e4)} min`
  return `${Math.floor(ms / 864e5)} d ${Math.floor(ms % 864e5 / 36e5)} h`
}
const two = (n, w = 2) => String(n).padStart(w, '0')
const format = new Intl.NumberFormat('en-US')
export const number = n => format.format(n)
export const cut = (text, n) => text.length > n ? text.slice(0, n) + '…' : text

const pad = (n, w = 2) => String(n).padStart(w, '0')
/** Whether times are those of the browser's zone; otherwise they are UTC. Event `zone` of document says that it changed. */
export const isLocal = () => document.documentElement.dataset.zone === 'local'
/** The name of the zone, to stand after a time of day. */
export const zone = () => isLocal() ? 'local' : 'UTC'
/**
 * A moment in the zone that people have chosen. t is a Date, milliseconds, or a text that Date can read.
 * `when(t)` is `2026-01-31 15:04:05 UTC`, `when(t, 'clock')` is `15:04:05.000`, `when(t, 'minute')` is `15:04`, and
 * `when(t, 'short')` is `15:04 UTC`, with the day if that is not today.
 */
export function when(t, form = 'full') {
  const d = new Date(t)
  if (Number.isNaN(d.getTime())) return ''
  const local = isLocal(), get = part => local ? d[`get${part}`]() : d[`getUTC${part}`]()
  const day = `${get('FullYear')}-${pad(get('Month') + 1)}-${pad(get('Date'))}`
  const minute = `${pad(get('Hours'))}:${pad(get('Minutes'))}`, second = `${minute}:${pad(get('Seconds'))}`
  if (form === 'minute') return minute
  if (form === 'clock') return `${second}.${pad(get('Milliseconds'), 3)}`
  const off = local ? -d.getTimezoneOffset() : 0, sign = off < 0 ? '−' : '+', abs = Math.abs(off)
  const name = local ? `UTC${sign}${pad(Math.floor(abs / 60))}:${pad(abs % 60)}` : 'UTC'
  if (form === 'short') return `${Math.abs(d - Date.now()) < 432e5 ? minute : `${day} ${minute}`}${local ? '' : ' UTC'}`
  return `${day} ${second} ${name}`
}
