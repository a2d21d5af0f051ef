// Lists whose rows never move: #list has rows with ids. Rows that are known change in place, new ones wait behind a
// button, and those that no longer match stay until people ask for them to go.
import { h, number, $, $$ } from './dom.js'
import { key } from './keys.js'
import { fetchPage, morph, onFresh } from './live.js'
import { say, times } from './habits.js'

const list = $('#list')
export const rows = (el = list) => el ? $$('[data-row]', el) : []
export const boxes = () => rows().map(r => $('input[type=checkbox]', r)).filter(Boolean)
let at = -1

/** The row that the keys are at. */
export const current = () => rows()[at]

/** Moves to a row by keys. */
export function move(by) {
  const all = rows()
  if (!all.length) return null
  all[at]?.classList.remove('cur')
  at = Math.max(0, Math.min(all.length - 1, at + by))
  all[at].classList.add('cur')
  all[at].scrollIntoView({ block: 'nearest' })
  $('a', all[at])?.focus({ preventScroll: true })
  return all[at]
}
/** Makes a row the one that the keys are at. */
export function place(row) {
  rows()[at]?.classList.remove('cur')
  at = rows().indexOf(row)
}

function change(now, next) {
  const box = $('input[type=checkbox]', now), checked = box?.checked, cur = now.classList.contains('cur')
  morph(now, next)
  if (box) $('input[type=checkbox]', now).checked = checked
  now.classList.toggle('cur', cur)
  now.classList.remove('gone')
}

// A row that is not on the page any more either no longer matches, or others have pushed it to the next page. Of such
// rows only the stream knows the state.
function gone(row, doc, changes) {
  const last = rows(doc).at(-1), r = changes.get(row.dataset.id)
  const older = last && Number(row.dataset.at) < Number(last.dataset.at)
  const pushed = doc.querySelector('[rel=next]') && (older || $('#inbox') && r?.status === 'unresolved')
  row.classList.toggle('gone', !pushed)
  row.title = pushed ? '' : 'This no longer matches what the list shows'
  if (!r) return
  const state = $('.st', row), why = $('td.why', row)
  if (state && !state.classList.contains(r.status)) {
    state.className = `st ${r.status}`
    state.textContent = r.status[0].toUpperCase() + r.status.slice(1)
  }
  if (why) why.replaceChildren(h('bdi', {}, r.waiting?.text || r.failure?.message || (r.ended ? 'Ended' : 'Computes')))
}

let newest
if (list) {
  onFresh((doc, changes) => {
    const next = doc.getElementById('list')
    newest = doc
    let fresh = 0
    const seen = new Set()
    for (const row of next ? rows(next) : []) {
      seen.add(row.id)
      const now = document.getElementById(row.id)
      if (now) change(now, row)
      else fresh++
    }
    for (const row of rows()) if (!seen.has(row.id)) gone(row, doc, changes)
    const button = $('#newer'), full = fresh > 0 && fresh === seen.size
    button.hidden = fresh === 0
    button.textContent = `${number(fresh)}${full ? '+' : ''} new — show`
    for (const name of ['count', 'tabs', 'segments']) {
      const a = document.getElementById(name), b = doc.getElementById(name)
      if (a && b) morph(a, b)
    }
  })
  $('#newer')?.addEventListener('click', showNew)
  list.addEventListener('click', e => {
    const row = e.target.closest('[data-row]')
    if (!row || e.target.closest('a, input, button, label, summary, td.sel') || getSelection().toString()) return
    $('a', row)?.click()
  })
}

// Shows the rows as they are now, and keeps what is selected.
async function showNew() {
  const doc = newest || await fetchPage(), next = doc.getElementById('list'), body = $('tbody', list)
  if (next?.tagName !== list.tagName) return location.reload() // it was empty, or is
  const picked = new Set(boxes().filter(b => b.checked).map(b => b.value))
  const from = body ? $('tbody', next) : next
  ;(body || list).replaceChildren(...[...from.children].map(x => document.adoptNode(x)))
  for (const b of boxes()) b.checked = picked.has(b.value)
  $('#newer').hidden = true
  at = -1
  times(list)
  list.dispatchEvent(new Event('change'))
  say('New rows are shown')
}

/**
 * Registers the keys of a list. moved is called with the row that keys have moved to, picked when the selection changes.
 */
export function listKeys(moved, picked) {
  if (!list) return
  const step = by => {
    const row = move(by)
    if (row) moved?.(row)
  }
  key('j', 'Lists', 'next row', () => { step(1) })
  key('k', 'Lists', 'previous row', () => { step(-1) })
  key('x', 'Lists', 'select the row', () => {
    const box = current() && $('input[type=checkbox]', current())
    if (!box) return
    box.checked = !box.checked
    picked?.()
  })
}
