// The palette: goes to a page or a run, and does what the page can do. It knows the pages from the side bar and the
// actions from the page, so nobody has to list them here.
import { base, h, icon, $, $$ } from './dom.js'
import { setTheme, setZone } from './habits.js'
import { dialog, help } from './keys.js'

const name = el => el.dataset.does || el.textContent.trim()
const go = to => { location.href = to }
const copyIcon = el => $('svg', el)?.cloneNode(true)

function pages() {
  const links = $$('.nav a[href]').filter(a => !a.classList.contains('brand'))
  const text = a => name($('span:not(.count)', a) || a)
  return links.map(a => ({ icon: copyIcon(a), text: text(a), kind: 'page', run: () => go(a.href) }))
}

// What the page can do: everything with data-does, and the menus of a run.
function actions() {
  const found = $$('[data-does], details.act > summary').filter(el => el.checkVisibility?.() ?? el.offsetParent)
  const here = found.map(el => ({ icon: copyIcon(el), text: name(el), kind: 'action', run: () => use(el) }))
  return [...here,
    { text: 'Theme: light', kind: 'setting', run: () => setTheme('light') },
    { text: 'Theme: dark', kind: 'setting', run: () => setTheme('dark') },
    { text: 'Theme: as the system', kind: 'setting', run: () => setTheme('') },
    { text: 'Times: UTC', kind: 'setting', run: () => setZone('utc') },
    { text: 'Times: local', kind: 'setting', run: () => setZone('local') },
    { text: 'Keys', kind: 'help', run: help }]
}
function use(el) {
  if (el.matches('summary')) {
    el.parentElement.open = true
    el.scrollIntoView({ block: 'nearest' })
    return ($('.pop input:not([type=hidden]), .pop button', el.parentElement) || el).focus()
  }
  el.matches('input, select, textarea') ? el.focus() : el.click()
}

// Asks the server for runs whose id begins with a text. Only the newest question counts. With many runs, a page of the
// API may stop before it has found any, so this goes on for a while.
let asking
async function search(text) {
  asking?.abort()
  const mine = asking = new AbortController()
  const q = new URLSearchParams({ prefix: text, limit: '12' }), runs = []
  for (let page = 0; page < 8 && runs.length < 12; page++) {
    const answer = await fetch(`${base}/api/v1/runs?${q}`, { signal: mine.signal })
    if (!answer.ok) throw new Error(`status ${answer.status}`)
    const got = await answer.json()
    runs.push(...got.runs)
    if (!got.next) break
    q.set('cursor', got.next)
  }
  return runs.slice(0, 12)
}

const runURL = id => `${base}/runs/${encodeURIComponent(id)}`
const asRun = r => ({ icon: h('span', { class: `st ${r.status}` }, icon(r.status)), text: r.id, kind: r.status,
  run: () => go(runURL(r.id)) })

/** Opens the palette. */
export function palette() {
  if ($('dialog[open]')) return
  const input = h('input', { placeholder: 'Go to a run or a page, or do something', 'aria-label': 'Go to',
    role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found', autocomplete: 'off', spellcheck: 'false' })
  const list = h('ul', { id: 'found', role: 'listbox', 'aria-label': 'Found' })
  const note = h('p', { class: 'note t3', role: 'status' })
  const known = [...pages(), ...actions()]
  const d = dialog('Go to', input, list, note)
  let runs = [], at = 0, found = [], timer, slow

  const draw = () => {
    const text = input.value.trim(), q = text.toLowerCase()
    const begins = x => x.text.toLowerCase().startsWith(q), has = x => x.text.toLowerCase().includes(q) && !begins(x)
    const matching = text ? runs.filter(r => r.id.startsWith(text)) : []
    found = [...known.filter(begins).slice(0, q ? 6 : 20), ...matching.map(asRun), ...known.filter(has).slice(0, 6)]
    if (text && !runs.some(r => r.id === text)) {
      found.push({ icon: icon('search'), text: `Open run ${text}`, kind: 'run', run: () => go(runURL(text)) })
      found.push({ icon: icon('search'), text: `Runs with the text ${text}`, kind: 'search',
        run: () => go(`${base}/runs?${new URLSearchParams({ text })}`) })
    }
    at = Math.max(0, Math.min(at, found.length - 1))
    const on = i => ({ 'aria-selected': String(i === at), onclick: () => choose(found[i]) })
    const option = i => ({ role: 'option', id: `f${i}`, ...on(i) })
    list.replaceChildren(...found.map((f, i) => h('li', option(i),
      f.icon || icon('line'), h('bdi', { class: 'clip grow' }, f.text), h('span', { class: 't3 nowrap' }, f.kind))))
    if (found.length) input.setAttribute('aria-activedescendant', `f${at}`)
    list.children[at]?.scrollIntoView({ block: 'nearest' })
  }
  const choose = f => { d.close(); f.run() }
  const ask = async () => {
    const text = input.value.trim()
    slow = setTimeout(() => { note.textContent = 'Searching…' }, 200) // what is quicker needs no word
    try {
      runs = text ? await search(text) : []
      note.textContent = ''
      if (d.open) draw()
    } catch (err) {
      if (err.name !== 'AbortError') note.textContent = 'Runs cannot be searched: the server does not answer.'
    } finally { clearTimeout(slow) }
  }
  input.addEventListener('input', () => {
    at = 0
    draw()
    clearTimeout(timer)
    timer = setTimeout(ask, 100)
  })
  // Enter counts when it is released, so that the same press does not go on to what the choice has opened.
  let pressed = false
  input.addEventListener('keyup', e => { if (e.key === 'Enter' && pressed && found[at]) choose(found[at]) })
  input.addEventListener('keydown', e => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      at += e.key === 'ArrowDown' ? 1 : -1
      draw()
      e.preventDefault()
    }
    if (e.key === 'Enter' && !e.isComposing) { pressed = true; e.preventDefault() }
  })
  draw()
}
