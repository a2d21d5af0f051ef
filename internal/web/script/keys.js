// Keys. Each is registered with what it does, so the list of keys is always complete.
import { h, $, $$ } from './dom.js'

const all = []

/**
 * Registers a key, as KeyboardEvent.key names it. shown is how people know it; f may return false to leave it alone.
 */
export function key(name, group, text, f, shown = name) { all.push({ name, group, text, f, shown }) }

/** Registers keys that another part of the page handles, for the list only. */
export const noteKey = (shown, group, text) => all.push({ group, text, shown })

/** Opens a dialog that closes with Esc, or by a click beside it. */
export function dialog(label, ...children) {
  const d = h('dialog', { 'aria-label': label }, ...children)
  document.body.append(d)
  d.addEventListener('close', () => d.remove())
  d.addEventListener('click', e => { if (e.target === d) d.close() })
  d.showModal()
  return d
}

/** Shows all keys of this page. */
export function help() {
  if ($('dialog[open]')) return
  const groups = new Map()
  for (const k of all) if (k.text) groups.set(k.group, [...groups.get(k.group) || [], k])
  const parts = [...groups].flatMap(([name, keys]) => [h('h3', {}, name), h('dl', { class: 'kv' },
    ...keys.flatMap(k => [h('dt', {}, ...k.shown.split(' ').map(x => h('kbd', {}, x))), h('dd', {}, k.text)]))])
  const close = h('button', { type: 'button', class: 'btn', onclick: () => d.close() }, 'Close')
  const d = dialog('Keys', h('div', { class: 'keys' }, ...parts, close))
}

const writes = el => el?.closest?.('input:not([type=checkbox], [type=radio]), textarea, select')

document.addEventListener('keydown', e => {
  if (e.isComposing) return
  const ctrl = e.metaKey || e.ctrlKey
  if (e.key === 'Escape' && !$('dialog[open]')) return leave(e)
  for (const k of all) {
    if (!k.f) continue
    const wantsCtrl = k.name.startsWith('Ctrl+'), name = wantsCtrl ? k.name.slice(5) : k.name
    if (wantsCtrl !== ctrl || e.altKey || e.key !== name && e.key.toLowerCase() !== name) continue
    if (!ctrl && (writes(e.target) || e.target.closest?.('dialog'))) continue
    if (k.f(e) === false) continue
    e.preventDefault()
    return
  }
})

// Esc leaves what is open: first a field, then a menu.
function leave(e) {
  const open = e.target.closest?.('details[open]') || $('details.more[open], details.act[open]')
  if (writes(e.target)) e.target.blur()
  if (!open || !open.matches('.more, .act')) return
  open.open = false
  $('summary', open)?.focus()
}
// A click beside an open menu closes it.
document.addEventListener('click', e => {
  for (const d of $$('details.more[open], details.act[open]')) if (!d.contains(e.target)) d.open = false
})
