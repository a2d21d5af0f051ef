// What people set once in their browser: the theme, and the zone of times.
import { isLocal, span, when, $, $$ } from './dom.js'

const root = document.documentElement
const keep = (name, value) => { try { localStorage.setItem(name, value) } catch { /* a browser that keeps nothing */ } }
const kept = name => { try { return localStorage.getItem(name) || '' } catch { return '' } }

/** Tells people who listen to the page what has happened. */
export function say(text) {
  const el = $('#say')
  if (el) el.textContent = text
}

const themes = ['', 'light', 'dark']
function theme(name) {
  if (name) root.dataset.theme = name
  else delete root.dataset.theme
}
/** Sets the theme: '' is that of the system. Without a name, the next one. */
export function setTheme(name = themes[(themes.indexOf(kept('flawless-theme')) + 1) % themes.length]) {
  keep('flawless-theme', name)
  theme(name)
  mark()
  say(`Theme: ${name || 'as the system'}`)
}

/** Sets the zone of all times: local or utc. Without a name, the other one. */
export function setZone(name = isLocal() ? 'utc' : 'local') {
  keep('flawless-zone', name)
  root.dataset.zone = name
  mark()
  times()
  document.dispatchEvent(new Event('zone'))
  say(isLocal() ? 'Times are local' : 'Times are UTC')
}

// The buttons say what is chosen.
function mark() {
  for (const el of $$('[data-do=zone]')) {
    el.textContent = isLocal() ? 'local' : 'UTC'
    el.title = isLocal() ? 'Times are local; show UTC' : 'Times are UTC; show local ones'
  }
  const now = kept('flawless-theme') || 'system'
  for (const el of $$('[data-do=theme]')) el.title = `Theme: ${now}`
}

/**
 * Brings all <time> elements below an element up to date. They show how long ago it was, and with data-as the moment
 * itself; the tooltip has the moment exactly. <text data-at> in a drawing is the same.
 */
export function times(el = document) {
  const now = Date.now()
  for (const t of $$('time[datetime]', el)) {
    const at = Date.parse(t.dateTime), d = now - at
    const text = t.dataset.as ? when(at, t.dataset.as) : d < 0 ? `in ${span(-d)}` : d < 1000 ? 'now' : `${span(d)} ago`
    if (t.textContent !== text) t.textContent = text
    const full = when(at)
    if (t.title !== full) t.title = full
  }
  for (const t of $$('text[data-at]', el)) t.textContent = when(t.dataset.at, 'minute')
}

theme(kept('flawless-theme'))
root.dataset.zone = kept('flawless-zone') === 'local' ? 'local' : 'utc'
mark()
times()
setInterval(times, 5000)
