// The inbox: one decision, or one for many. j and k open the next call without leaving the list, 1 to 4 choose.
import { number, $, $$ } from './dom.js'
import { copy } from './copy.js'
import { say, times } from './habits.js'
import { key } from './keys.js'
import { boxes, current, listKeys, place, rows } from './list.js'
import { fetchPage, onFresh } from './live.js'

let opening // the newest call that was asked for

// Opens a call in place. A quick answer needs no sign that it is awaited; after 200 ms the pane says so.
async function open(row) {
  const link = $('a', row), pane = $('#evidence')
  if (!pane) { location.href = link.href; return }
  opening = link.href
  const slow = setTimeout(() => pane.setAttribute('aria-busy', 'true'), 200)
  try {
    const doc = await fetchPage(link.href)
    if (opening !== link.href) return
    pane.replaceWith(document.adoptNode(doc.getElementById('evidence')))
    history.replaceState(null, '', link.href)
    for (const r of rows()) $('a', r).toggleAttribute('aria-current', r === row)
    place(row)
    row.classList.add('cur')
    times()
    picked()
    say($('#evidence h2')?.textContent || '')
  } catch { location.href = link.href } finally {
    clearTimeout(slow)
    $('#evidence')?.removeAttribute('aria-busy')
  }
}

// The button says for how many the decision is.
function picked() {
  const n = boxes().filter(b => b.checked).length, groups = $$('.grp input:checked')
  const all = groups.reduce((sum, g) => sum + Number(g.dataset.n), 0)
  const inGroups = boxes().filter(b => b.checked && groups.some(g => g.value === b.dataset.group)).length
  const total = all + n - inGroups, button = $('#decide button.primary')
  if (button) button.textContent = total > 0 ? `Decide about ${number(total)}…` : 'Decide'
  $('#evidence')?.classList.toggle('many', total > 0)
}

function choose(n) {
  const radio = $$('#decide [name=resolution]')[n - 1]
  if (!radio) return false
  radio.click()
  radio.focus()
  return true
}

/** Sets up the inbox. */
export function inbox() {
  if (!$('#inbox')) return
  $('#list')?.addEventListener('click', e => {
    const link = e.target.closest('[data-row] a')
    if (!link || e.metaKey || e.ctrlKey || e.shiftKey || e.button) return
    e.preventDefault()
    open(link.closest('[data-row]'))
  })
  $('#list')?.addEventListener('change', e => {
    const group = e.target.closest('.grp input')
    if (group) for (const b of boxes()) if (b.dataset.group === group.value) b.checked = group.checked
    const box = e.target.closest('[data-row] input')
    const left = box && !box.checked && $$('.grp input:checked').find(g => g.value === box.dataset.group)
    if (left) left.checked = false
    picked()
  })
  const at = rows().find(r => $('a[aria-current]', r))
  if (at) place(at)
  listKeys(row => row && open(row), () => { $('#list').dispatchEvent(new Event('change')); picked() })
  for (const n of [1, 2, 3, 4]) key(String(n), 'Inbox', n === 1 ? 'choose a decision' : '', () => choose(n), '1 2 3 4')
  key('c', 'Inbox', 'copy the idempotency key', () => {
    const button = $('#evidence [data-copy]')
    if (!button) return false
    copy(button.dataset.copy, button)
  })
  document.addEventListener('keydown', e => {
    if ((e.metaKey || e.ctrlKey) && e.key === 'Enter' && e.target.closest?.('#decide')) $('#decide').requestSubmit()
  })
  // Somebody else may decide about the call that is open.
  onFresh(() => {
    const shown = $('#evidence'), row = current()
    const stale = shown && row?.classList.contains('gone') && row.id === shown.dataset.for
    const note = $('#decided')
    if (note) note.hidden = !stale
  })
  picked()
}
