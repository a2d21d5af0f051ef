// The page of a run: reads its past, follows it while the run goes on, and has one cursor for timeline, slider, log and state.
import { base, h, s, $, when, zone } from './dom.js'
import { callDetails } from './call.js'
import { Log } from './log.js'
import { Model, waits } from './model.js'
import { ServerPast } from './past.js'
import { viewers } from './payload.js'
import { Replay, Transport } from './replay.js'
import { Timeline } from './timeline.js'

/** The patterns of bars live outside of what is drawn again and again. */
function patterns() {
  const pattern = (id, cls) =>
    s(
      'pattern',
      { id, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      s('path', { class: cls, d: 'M0 0v6', 'stroke-width': 3 })
    )
  return s(
    'svg',
    { width: 0, height: 0, 'aria-hidden': 'true', class: 'sr' },
    s('defs', {}, pattern('hatch-w', 'h-w'), pattern('hatch-p', 'h-p'))
  )
}

const digits = /^\d{1,9}$/
/** The place that an address names: #turn=5&call=3&entry=12.0. */
function placeOf(hash) {
  const p = new URLSearchParams(hash.slice(1)),
    n = name => (digits.test(p.get(name) || '') ? Number(p.get(name)) : 0)
  return { turn: n('turn'), call: n('call'), entry: p.get('entry') || undefined }
}

export async function runPage(root, past = new ServerPast(root.dataset.id, root.dataset.module)) {
  const m = new Model()
  let open = root.dataset.open === 'true'
  viewers()
  const tl = h('section', { class: 'panel tl', 'aria-label': 'Timeline' })
  const transport = new Transport(past, m, (turn, call) => go(turn, call))
  const replay = new Replay(past, m, (turn, call) => go(turn, call))
  const log = new Log(past, m, (turn, call, o) => go(turn, call, o))
  root.replaceChildren(patterns(), tl, transport.el, h('div', { class: 'split' }, log.el, replay.el))
  const line = new Timeline(
    tl,
    m,
    () => open,
    x => (x.turn ? go(x.turn) : x.lane && go(x.lane.turn, x.lane.n, { lane: x.lane }))
  )

  // ---------- one cursor ----------
  let cur = { turn: 0, call: 0 }
  function go(turn, call = 0, { lane, scroll = true, entry, note = true } = {}) {
    const same = cur.turn === turn && cur.call === call
    cur = { turn, call }
    line.moveTo(turn, lane || m.calls.get(call), scroll && !lane)
    const hash = `#turn=${turn}${call ? `&call=${call}` : ''}${entry ? `&entry=${entry}` : ''}`
    if (note && location.hash !== hash) history.replaceState(null, '', hash)
    transport.show(turn)
    replay.show(turn, note)
    if (!same || !replay.call.childElementCount) replay.call.replaceChildren(...callDetails(past, m, call))
    if (call && !same) replay.pick('Call')
    else if (!call && !same && replay.part === 'Call') replay.pick('Source')
    log.show(turn, call, scroll, entry)
  }
  function fromHash() {
    const at = placeOf(location.hash),
      turn = at.turn || m.calls.get(at.call)?.turn || m.turns.at(-1)?.n || 0,
      asked = Boolean(at.turn || at.call)
    if (turn) go(turn, at.call, { scroll: asked || open, entry: at.entry, note: asked })
    else {
      transport.show(0)
      replay.call.replaceChildren(...callDetails(past, m, 0))
    }
  }
  addEventListener('hashchange', fromHash)
  document.addEventListener('keydown', e => {
    if (e.metaKey || e.ctrlKey || e.altKey || e.target.closest?.('input, textarea, select, dialog')) return
    if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') {
      const n = cur.turn + (e.key === 'ArrowRight' ? 1 : -1)
      if (m.turnAt(n)) {
        e.preventDefault()
        go(n)
      }
    } else if (e.key === '+') line.zoomBy(2)
    else if (e.key === '-') line.zoomBy(0.5)
    else if (e.key === '0') {
      line.zoom = 1
      line.changed()
    }
  })
  document.addEventListener('zone', () => {
    if (cur.turn) {
      transport.show(cur.turn)
      replay.call.replaceChildren(...callDetails(past, m, cur.call))
    }
  })

  // ---------- the sentence: what the log knows better than the server's word for it ----------
  function sentence() {
    const el = $('#sentence')
    if (!el || el.dataset.exact === 'true' || !open || !$('.run-head .pill.waiting')) return
    const w = waits(m)
    if (!w) return
    const day = w.wake && Math.abs(w.wake - Date.now()) > 432e5 ? `${new Date(w.wake).toISOString().slice(0, 10)} ` : ''
    el.replaceChildren(
      w.say,
      w.code ? h('code', {}, h('bdi', {}, w.code)) : '',
      w.more,
      w.wake ? ` until ${day}${when(w.wake, 'clock').slice(0, 8)} ${zone()}` : '',
      w.at ? ' at ' : '',
      w.at ? h('code', {}, w.at) : ''
    )
  }
  document.addEventListener('fresh', () => {
    viewers()
    sentence()
  })

  // ---------- reading: pages first, then the stream ----------
  let due
  const refresh = () => {
    due ||= setTimeout(() => {
      due = 0
      const last = m.turns.at(-1)?.n || 0,
        followed = cur.turn === seen
      seen = last
      log.select()
      line.changed()
      sentence()
      // Somebody who looks at the newest turn goes on with the run; somebody who looks at another one stays there.
      if (followed && last !== cur.turn && !cur.call) go(last, 0, { note: false, scroll: true })
      else {
        transport.show(cur.turn)
        replay.show(cur.turn, false)
      }
    }, 100)
  }
  let seen = 0
  try {
    let first = true
    for await (const page of past.pages()) {
      for (const rec of page) m.add(rec)
      if (first) {
        log.select()
        line.changed()
      } // the first page at once, the others together
      first = false
    }
    log.select()
    line.changed()
  } catch (err) {
    tl.append(h('p', { class: 'pad st failed', role: 'alert' }, `The log cannot be read: ${err.message}. Reload the page.`))
  }
  if (m.lanes.length > 120) line.zoom = Math.min(200, m.lanes.length / 36)
  seen = m.turns.at(-1)?.n || 0
  fromHash()
  sentence()
  root.dataset.ready = 'true'
  performance.mark('run-ready')
  if (!open || !past.follow) return
  past.follow(
    m.next,
    rec => {
      m.add(rec)
      refresh()
    },
    () => {
      open = false
      refresh()
    }
  )
  setInterval(() => {
    if (open && !document.hidden) line.changed()
  }, 1000)
}

/** The address of a run. */
export const runURL = id => `${base}/runs/${encodeURIComponent(id)}`
