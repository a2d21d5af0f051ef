// What every page has: theme, times, keys, the live connection, the palette. The run page is in run.js.
import { Idiomorph } from 'idiomorph'
import { base, h, icon, span, $, $$ } from './dom.js'
import { bundlePage } from './bundle.js'
import { familyTree } from './family.js'
import { forkPage } from './fork.js'
import { mayMorph } from './payload.js'
import { runPage } from './run.js'

document.documentElement.classList.add('js')
$$('[data-do]').forEach(el => { el.hidden = false })
const say = text => { const el = $('#say'); if (el) el.textContent = text }

// ---------- theme: light, dark, or that of the system ----------
const themes = ['', 'light', 'dark']
const theme = t => { if (t) document.documentElement.dataset.theme = t; else delete document.documentElement.dataset.theme }
theme(localStorage.getItem('flawless-theme') || '')
function nextTheme() {
  const t = themes[(themes.indexOf(localStorage.getItem('flawless-theme') || '') + 1) % 3]
  localStorage.setItem('flawless-theme', t); theme(t); say(`Theme: ${t || 'system'}`)
}

// ---------- relative times ----------
function times(root = document) {
  const now = Date.now()
  for (const el of $$('time[datetime]', root)) {
    const d = now - Date.parse(el.dateTime), text = d < 0 ? `in ${span(-d)}` : d < 1000 ? 'now' : `${span(d)} ago`
    if (el.textContent !== text) el.textContent = text
  }
}
setInterval(times, 5000)

// ---------- live: the stream of all runs; what changed is fetched again as HTML ----------
const live = $('#live')
let source, retry
const changed = new Map()
function connect() {
  clearTimeout(retry); source?.close()
  source = new EventSource(`${base}/api/v1/events`)
  source.onopen = () => { catchUp(); live.hidden = false; live.textContent = 'live'; live.classList.remove('lost') }
  source.onerror = () => {
    live.hidden = false; live.textContent = 'connection lost, trying again'; live.classList.add('lost')
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000)
  }
  source.addEventListener('run', e => { const r = JSON.parse(e.data); changed.set(r.id, r); soon() })
  source.addEventListener('reset', () => refresh(true))
}
// What changed before the stream began is in no event, so look at everything once more when it opens, and shortly after.
function catchUp() { refresh(true); setTimeout(() => refresh(true), 1500) }
let timer, busy = false, whole = false
const soon = () => { timer ||= setTimeout(() => { timer = 0; refresh(false) }, 800) }
async function refresh(all) {
  whole ||= all
  if (busy) return soon()
  all = whole; whole = false
  const runs = new Map(changed); changed.clear()
  const page = $('#run'), list = $('#list')
  if (!all && page && !runs.has(page.dataset.id)) return
  busy = true
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: 'text/html' } })
    if (!answer.ok) { whole = true; setTimeout(soon, 2000); return }
    const doc = new DOMParser().parseFromString(await answer.text(), 'text/html')
    for (const id of ['doubts', 'fresh']) {
      const now = document.getElementById(id), next = doc.getElementById(id)
      if (now && next) Idiomorph.morph(now, next, { ignoreActiveValue: true, callbacks: { beforeNodeMorphed: mayMorph, beforeAttributeUpdated: (name, node) => !(name === 'open' && node.tagName === 'DETAILS') } })
    }
    if (list) rows(list, doc)
    document.dispatchEvent(new Event('fresh'))
    times()
  } catch { /* the stream says that the connection is lost */ } finally { busy = false }
}

// Rows never move: rows that exist are changed in place, new ones wait behind a button.
function rows(list, doc) {
  let fresh = 0
  const seen = new Set()
  for (const next of $$('#list tbody tr', doc)) {
    seen.add(next.dataset.id)
    const now = document.getElementById(next.id)
    if (!now) { fresh++; continue }
    const box = $('input', now).checked, cur = now.classList.contains('cur')
    Idiomorph.morph(now, next)
    $('input', now).checked = box; now.classList.toggle('cur', cur)
  }
  const button = $('#newer')
  button.hidden = fresh === 0
  button.textContent = `${fresh === $$('#list tbody tr', doc).length ? fresh + '+' : fresh} new — show`
}
$('#newer')?.addEventListener('click', () => location.reload())
if (live && !$('#retry')) connect()
document.addEventListener('visibilitychange', () => { if (!live) return; if (document.hidden) { source?.close() } else if (!$('#retry')) connect() })
if ($('#retry')) setTimeout(() => location.reload(), 5000)

// ---------- runs: selection, keys ----------
const bar = $('#bulkbar'), boxes = () => $$('#list tbody input')
function picked() {
  if (!bar) return
  const n = boxes().filter(b => b.checked).length, all = $('#all')
  bar.classList.toggle('on', n > 0); $('#picked').textContent = `${n} selected`
  all.hidden = false; all.checked = n > 0 && n === boxes().length; all.indeterminate = n > 0 && !all.checked
}
$('#all')?.addEventListener('change', e => { boxes().forEach(b => { b.checked = e.target.checked }); picked() })
$('#list')?.addEventListener('change', picked)
picked()
let at = -1
function move(by) {
  const all = $$('#list tbody tr')
  if (!all.length) return
  all[at]?.classList.remove('cur'); at = Math.max(0, Math.min(all.length - 1, at + by))
  all[at].classList.add('cur'); all[at].scrollIntoView({ block: 'nearest' }); $('td.id a', all[at]).focus({ preventScroll: true })
}
$('#list')?.addEventListener('click', e => { if (!e.target.closest('a, input, button, td.sel') && !getSelection().toString()) $('a', e.target.closest('tr'))?.click() })

// A bulk change goes run by run, so that its progress shows.
$('#bulkdo')?.addEventListener('submit', async e => {
  e.preventDefault()
  const form = e.target, ids = $$('[name=run]', form).map(i => i.value), bar = $('#progress')
  $('button', form).disabled = true; bar.hidden = false
  for (const id of ids) {
    const li = $$('li[data-id]').find(l => l.dataset.id === id)
    let text
    try {
      const note = form.elements.note.value, body = form.dataset.verb === 'restart' ? undefined : JSON.stringify({ who: 'console', note })
      const r = await fetch(`${base}/api/v1/runs/${encodeURIComponent(id)}/${form.dataset.verb}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
      const got = await r.json()
      text = r.ok ? h('span', { class: `st ${got.status}` }, `${got.status}`) : h('span', { class: 'st failed' }, got.detail || got.title)
    } catch { text = h('span', { class: 'st failed' }, 'The connection was lost; look at the run.') }
    li.lastElementChild.replaceWith(text); bar.value++
  }
  say(`${ids.length} runs done`); $('button', form).textContent = 'Done'
})

// ---------- palette and keys ----------
function dialog(label, ...children) {
  const d = h('dialog', { 'aria-label': label }, ...children)
  document.body.append(d); d.addEventListener('close', () => d.remove()); d.addEventListener('click', e => { if (e.target === d) d.close() })
  d.showModal(); return d
}
async function palette() {
  if ($('dialog')) return
  const pages = [['overview', 'Overview', '/'], ['inbox', 'Inbox', '/inbox'], ['runs', 'Runs', '/runs'], ['failed', 'Failed runs', '/runs?status=failed'], ['waiting', 'Waiting runs', '/runs?status=waiting'], ['runs', 'Open an exported run', '/bundle']]
  const input = h('input', { placeholder: 'Go to a run or a page', 'aria-label': 'Go to', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found', autocomplete: 'off' }), list = h('ul', { id: 'found', role: 'listbox', 'aria-label': 'Found' })
  const d = dialog('Go to', input, list)
  let runs = [], at = 0, found = []
  const draw = () => {
    const q = input.value.trim().toLowerCase()
    found = pages.filter(p => p[1].toLowerCase().includes(q)).map(p => ({ icon: p[0], text: p[1], to: base + p[2] }))
    found.push(...runs.filter(r => q && r.id.toLowerCase().includes(q)).slice(0, 12).map(r => ({ icon: r.status, text: r.id, to: `${base}/runs/${encodeURIComponent(r.id)}` })))
    if (q && !found.some(f => f.text === input.value.trim())) found.push({ icon: 'search', text: `Open run ${input.value.trim()}`, to: `${base}/runs/${encodeURIComponent(input.value.trim())}` })
    at = Math.max(0, Math.min(at, found.length - 1))
    list.replaceChildren(...found.map((f, i) => h('li', { role: 'option', id: `f${i}`, 'aria-selected': String(i === at), onclick: () => { location.href = f.to } }, icon(f.icon), h('bdi', { class: 'clip' }, f.text))))
    input.setAttribute('aria-activedescendant', `f${at}`)
  }
  input.addEventListener('input', () => { at = 0; draw() })
  input.addEventListener('keydown', e => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') { at += e.key === 'ArrowDown' ? 1 : -1; draw(); e.preventDefault() }
    if (e.key === 'Enter' && found[at]) location.href = found[at].to
  })
  draw()
  try { runs = (await (await fetch(`${base}/api/v1/runs?limit=200`)).json()).runs; if (d.open) draw() } catch { /* pages remain */ }
}
function help() {
  if ($('dialog')) return
  const keys = [['⌘K or Ctrl K', 'go to a run or a page'], ['j k', 'next and previous row'], ['Enter', 'open the row'], ['x', 'select the row'], ['/', 'filter'], ['← →', 'previous and next turn'], ['+ − 0', 'zoom the timeline'], ['?', 'this list'], ['Esc', 'close']]
  dialog('Keys', h('dl', { class: 'kv' }, ...keys.flatMap(([k, v]) => [h('dt', {}, h('kbd', {}, k)), h('dd', {}, v)])))
}
const actions = { theme: nextTheme, palette, help }
document.addEventListener('click', e => { const el = e.target.closest?.('[data-do]'); if (el) actions[el.dataset.do]() })
document.addEventListener('keydown', e => {
  if ((e.metaKey || e.ctrlKey) && e.key.toLowerCase() === 'k') { e.preventDefault(); return palette() }
  if (e.metaKey || e.ctrlKey || e.altKey || e.target.closest?.('input, textarea, select, dialog')) return
  const tr = $$('#list tbody tr')[at]
  if (e.key === '?') help()
  else if (e.key === '/') { const f = $('#logfilter') || $('#q'); if (f) { e.preventDefault(); f.focus() } }
  else if (e.key === 'j') move(1)
  else if (e.key === 'k') move(-1)
  else if (e.key === 'x' && tr) { const b = $('input', tr); b.checked = !b.checked; picked() }
})
if ($('#run')) runPage($('#run'))
if ($('#bundle')) bundlePage($('#bundle'))
familyTree()
if ($('form.fork')) forkPage($('form.fork'))
