// The page of a run: reads the log from the API, follows it while the run goes on, and shows one turn everywhere.
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from '@tanstack/virtual-core'
import { base, h, icon, s, $, $$, exact, number } from './dom.js'
import { Model, title, waits } from './model.js'
import { Timeline } from './timeline.js'

const kinds = [['Turns', ['turn', 'start', 'done']], ['Calls', ['call', 'answer', 'bad', 'doubt']], ['Lines', ['line']], ['Data', ['data']], ['People', ['person', 'doubt']]]
const two = (n, w = 2) => String(n).padStart(w, '0')
const clock = t => { const d = new Date(t); return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}.${two(d.getUTCMilliseconds(), 3)}` }
const pretty = v => { if (typeof v !== 'string') return JSON.stringify(v, null, 2); try { return JSON.stringify(JSON.parse(v), null, 2) } catch { return v } }

export async function runPage(root) {
  const id = root.dataset.id, api = `${base}/api/v1/runs/${encodeURIComponent(id)}`, m = new Model()
  let open = root.dataset.open === 'true'
  // The patterns of bars live outside of what is drawn again and again.
  root.before(s('svg', { width: 0, height: 0, 'aria-hidden': 'true', class: 'sr' }, s('defs', {}, ...[['hatch-w', 'h-w'], ['hatch-p', 'h-p']].map(([id, cls]) => s('pattern', { id, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' }, s('path', { class: cls, d: 'M0 0v6', 'stroke-width': 3 }))))))
  const tl = h('section', { class: 'panel tl', 'aria-label': 'Timeline' })
  const filter = h('input', { class: 'field', id: 'logfilter', placeholder: 'Filter, as a regular expression', 'aria-label': 'Filter the log', spellcheck: 'false' })
  const count = h('span', { class: 'sub' }), wrong = h('span', { class: 'sub st failed', role: 'status' })
  const box = h('div', { class: 'log', tabindex: '0', role: 'group', 'aria-label': 'Entries of the log' }), inner = h('div', { class: 'log-in' })
  box.append(inner)
  const on = new Set(), chips = kinds.map(([name]) => h('button', { type: 'button', class: 'chip', 'aria-pressed': 'false', onclick: e => { on.has(name) ? on.delete(name) : on.add(name); e.currentTarget.setAttribute('aria-pressed', String(on.has(name))); select() } }, name))
  const pane = h('section', { class: 'panel pane', 'aria-label': 'Details' })
  root.replaceChildren(tl, h('div', { class: 'split' }, h('section', { class: 'panel', 'aria-label': 'Log' }, h('header', {}, h('h2', {}, 'Log'), count, wrong), h('div', { class: 'logtools' }, filter, ...chips), box), pane))

  const line = new Timeline(tl, m, () => open, x => x.turn ? go(x.turn) : x.lane && go(x.lane.turn, x.lane.n, x.lane))
  // ---------- log ----------
  let shown = [], cur = { turn: 0, call: 0 }
  const wide = new Set()
  const list = new Virtualizer({ count: 0, getScrollElement: () => box, estimateSize: i => wide.has(shown[i]) ? 260 : 32, scrollToFn: elementScroll, observeElementRect, observeElementOffset, overscan: 6, onChange: () => entries() })
  list._didMount(); list._willUpdate()
  function select() {
    let re
    wrong.textContent = ''
    try { re = filter.value && new RegExp(filter.value, 'i') } catch { wrong.textContent = 'not a regular expression' }
    const want = new Set(kinds.filter(([n]) => on.has(n)).flatMap(([, k]) => k))
    shown = m.rows.filter(r => (!on.size || want.has(r.kind)) && (!re || re.test(`${r.say} ${r.text}`)))
    count.textContent = shown.length === m.rows.length ? `${number(m.rows.length)} entries` : `${number(shown.length)} of ${number(m.rows.length)} entries`
    resize()
  }
  function resize() { list.setOptions({ ...list.options, count: shown.length, estimateSize: i => wide.has(shown[i]) ? 260 : 32 }); list.measure(); list._willUpdate(); entries() }
  function entries() {
    inner.style.height = `${list.getTotalSize()}px`
    const focus = document.activeElement?.dataset?.row
    inner.replaceChildren(...list.getVirtualItems().map(item => {
      const r = shown[item.index], isOpen = wide.has(r)
      const el = h('div', { class: `ent k-${r.kind}${r.turn === cur.turn && r.kind === 'turn' || cur.call && r.call === cur.call ? ' cur' : ''}` },
        h('button', { type: 'button', 'data-row': item.index, 'aria-expanded': String(isOpen), onclick: () => { isOpen ? wide.delete(r) : wide.add(r); if (r.turn) go(r.turn, r.call, null, false); resize() } },
          h('span', { class: 'at', title: `${new Date(r.at).toISOString()}` }, r.kind === 'turn' || r.kind === 'start' ? clock(r.at).slice(0, 12) : `+${exact(Math.max(0, r.at - m.t0))}`), icon(r.kind === 'start' || r.kind === 'done' ? 'answer' : r.kind),
          h('bdi', { class: 'txt clip' }, h('b', {}, r.say), ' ', r.text), h('span', { class: 'meta' }, r.cost !== undefined ? `${number(r.cost)} units` : r.meta || '')))
      if (isOpen) el.append(h('pre', { tabindex: '0' }, pretty(r.body)))
      el.style.transform = `translateY(${item.start}px)`; el.style.height = `${item.size}px`
      return el
    }))
    if (focus !== undefined) $(`[data-row="${focus}"]`, inner)?.focus({ preventScroll: true })
  }
  filter.addEventListener('input', select)

  // ---------- one cursor ----------
  function go(turn, call = 0, lane = null, scroll = true, note = true) {
    cur = { turn, call }
    line.turn = turn; line.selected = lane || m.calls.get(call); line.changed()
    const hash = `#turn=${turn}${call ? `&call=${call}` : ''}`
    if (note && location.hash !== hash) history.replaceState(null, '', hash)
    if (scroll) { const i = shown.findIndex(r => call ? r.call === call : r.kind === 'turn' && r.turn === turn); if (i >= 0) list.scrollToIndex(i, { align: 'center' }) }
    entries(); details()
  }
  function details() {
    const c = m.calls.get(cur.call)
    if (!c) {
      const t = m.turns.find(t => t.n === cur.turn)
      return pane.replaceChildren(h('header', {}, h('h2', {}, t ? `Turn ${t.n} of ${m.turns.length}` : 'Details')), t ? h('dl', { class: 'kv' }, ...pairs([['Began', `${clock(t.at)} UTC, ${exact(t.at - m.t0)} after the start`], ['Computed', exact(Math.max(0, t.end - t.at))], ['Cost', `${number(t.cost)} units`], ['Calls', number([...m.calls.values()].filter(c => c.turn === t.n && c.kind !== 'cancelled').length)]])) : h('p', { class: 'pad t3' }, 'Choose a call or a turn.'))
    }
    const a = c.answer, out = [h('header', {}, h('h2', {}, `Call ${c.n}`), h('span', { class: 'sub' }, c.kind))]
    out.push(h('dl', { class: 'kv' }, ...pairs([['Request', c.kind === 'http' ? `${c.head.method} ${c.head.url}` : title(c)], ['Made at', c.head.at], ['In turn', c.turn], ['Answer given in turn', c.given], ['Outcome', c.unknown ? `unknown: ${c.unknown.reason}` : a ? a.head?.status || (c.bad ? 'error' : 'answered') : 'open'], ['Note', a?.note], ['Decision', c.decision && `${c.decision.resolution} by ${c.decision.who || 'somebody'}${c.decision.note ? ': ' + c.decision.note : ''}`]])))
    if (c.unknown) out.push(h('p', { class: 'pad' }, h('a', { class: 'btn primary', href: `${base}/inbox?run=${encodeURIComponent(id)}&call=${c.n}` }, 'Decide')))
    if (c.kind === 'http') out.push(h('table', { class: 'tries' }, h('thead', {}, h('tr', {}, ...['Try', 'Connected', 'Sent', 'Answered', 'Result'].map(x => h('th', {}, x)))), h('tbody', {}, ...c.tries.map(t => { const st = t.stages || {}; const since = (a, b) => a && b ? `+${exact(Math.max(0, a - b))}` : '–'; return h('tr', {}, h('td', {}, String(t.n)), h('td', {}, since(st.connected, t.begun)), h('td', {}, since(st.sent, st.connected)), h('td', {}, since(st.answered, st.sent)), h('td', { class: 'clip' }, String(t.result ?? '…'))) }))))
    if (c.body) out.push(h('h3', {}, 'Request body'), h('pre', { tabindex: '0' }, pretty(c.body)))
    if (a?.body) out.push(h('h3', {}, 'Answer body'), h('pre', { tabindex: '0' }, pretty(a.body)))
    out.push(h('h3', {}, 'Heads'), h('pre', { tabindex: '0' }, pretty({ request: c.head, answer: a?.head })))
    pane.replaceChildren(...out)
  }
  const pairs = list => list.filter(([, v]) => v !== undefined && v !== '' && v !== null && v !== false).flatMap(([k, v]) => [h('dt', {}, k), h('dd', {}, h('bdi', {}, String(v)))])
  const fromHash = () => { const p = new URLSearchParams(location.hash.slice(1)), call = Number(p.get('call')) || 0, turn = Number(p.get('turn')) || m.calls.get(call)?.turn || m.turns.at(-1)?.n || 0; if (turn) go(turn, call, null, Boolean(location.hash) || open, Boolean(location.hash)); line.reveal(line.selected ? m.lanes.indexOf(line.selected) : open ? m.lanes.length - 1 : -1) }
  addEventListener('hashchange', fromHash)
  document.addEventListener('keydown', e => {
    if (e.metaKey || e.ctrlKey || e.altKey || e.target.closest?.('input, textarea, select, dialog')) return
    if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') { const n = cur.turn + (e.key === 'ArrowRight' ? 1 : -1); if (m.turns.some(t => t.n === n)) { e.preventDefault(); go(n) } }
    else if (e.key === '+') line.zoomBy(2); else if (e.key === '-') line.zoomBy(0.5); else if (e.key === '0') { line.zoom = 1; line.changed() }
  })

  // ---------- the sentence: what the log knows better than the list ----------
  function sentence() {
    const el = $('#sentence'), w = open && $('.run-head .pill.waiting, .run-head .pill.running') ? waits(m) : null
    if (!el || !w || $('.run-head .pill.running')) return
    el.replaceChildren(w.say, w.code ? h('code', {}, h('bdi', {}, w.code)) : '', w.more, w.wake ? ` until ${Math.abs(w.wake - Date.now()) > 432e5 ? new Date(w.wake).toISOString().slice(0, 10) + ' ' : ''}${clock(w.wake).slice(0, 8)} UTC` : '', w.at ? ' at ' : '', w.at ? h('code', {}, w.at) : '')
  }
  document.addEventListener('fresh', sentence)

  // ---------- reading: pages first, then the stream ----------
  let due
  const refresh = () => { due ||= setTimeout(() => { due = 0; select(); line.changed(); sentence() }, 100) }
  try {
    for (let url = `${api}/log?from=0&limit=1000`; url;) {
      const answer = await fetch(url)
      if (!answer.ok) throw new Error((await answer.json()).detail)
      for (const rec of await answer.json()) m.add(rec)
      const from = /[?&]from=(\d+)/.exec(answer.headers.get('Link') || '')
      url = from ? `${api}/log?from=${from[1]}&limit=1000` : ''
      if (!shown.length) { select(); line.changed() } // the first page at once, the others together
    }
    select(); line.changed()
  } catch (err) { tl.append(h('p', { class: 'pad st failed', role: 'alert' }, `The log cannot be read: ${err.message}. Reload the page.`)) }
  if (m.lanes.length > 120) line.zoom = Math.min(200, m.lanes.length / 36)
  fromHash(); sentence()
  root.dataset.ready = 'true'
  const follow = () => {
    const stream = new EventSource(`${api}/events?from=${m.next}`)
    stream.addEventListener('record', e => { const rec = JSON.parse(e.data); if (rec.seq >= m.next) { m.add(rec); refresh() } })
    stream.addEventListener('run', () => { open = false; stream.close(); refresh() })
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED && open) setTimeout(follow, 2000) }
  }
  if (open) { follow(); setInterval(() => { if (open && !document.hidden) line.changed() }, 1000) }
}
