// The details of a call: its stages, what was sent and what came back.
import { base, h, exact, when, zone } from './dom.js'
import { title } from './model.js'
import { curl, payload, quoted } from './payload.js'

const pairs = list =>
  list
    .filter(([, v]) => v !== undefined && v !== '' && v !== null && v !== false)
    .flatMap(([k, v]) => [h('dt', {}, k), h('dd', {}, h('bdi', {}, String(v)))])

function tries(c) {
  const since = (a, b) => (a && b ? `+${exact(Math.max(0, a - b))}` : '–')
  return h(
    'table',
    { class: 'tries' },
    h('thead', {}, h('tr', {}, ...['Try', 'Connected', 'Sent', 'Answered', 'Result'].map(x => h('th', {}, x)))),
    h(
      'tbody',
      {},
      ...c.tries.slice(-50).map(t => {
        const st = t.stages || {}
        return h(
          'tr',
          {},
          h('td', {}, String(t.n)),
          h('td', {}, since(st.connected, t.begun)),
          h('td', {}, since(st.sent, st.connected)),
          h('td', {}, since(st.answered, st.sent)),
          h('td', { class: 'clip', title: String(t.result ?? '') }, String(t.result ?? '…'))
        )
      })
    )
  )
}

/** How another run would begin here: the turn before the answer was given, with another answer. */
const forkURL = (id, c) => `${base}/runs/${encodeURIComponent(id)}/fork?turn=${c.given ? c.given - 1 : c.turn}&call=${c.n}`

/** Shows a call, or asks to choose one. */
export function callDetails(past, m, n) {
  const c = m.calls.get(n)
  if (!c) return [h('p', { class: 'pad t3' }, 'Choose a call in the timeline or in the log.')]
  const a = c.answer,
    id = past.id
  const outcome = c.unknown ? `unknown: ${c.unknown.reason}` : a ? a.head?.status || (c.bad ? 'error' : 'answered') : 'open'
  const out = [
    h(
      'dl',
      { class: 'kv' },
      ...pairs([
        ['Call', `${c.n}, ${c.kind}`],
        ['Request', title(c)],
        ['Made at', c.head?.at],
        ['In turn', `${c.turn}, ${when(c.begun, 'clock')} ${zone()}`],
        ['Answer given in turn', c.given],
        ['Outcome', outcome],
        ['Note', a?.note],
        [
          'Decision',
          c.decision && `${c.decision.resolution} by ${c.decision.who || 'somebody'}${c.decision.note ? ': ' + c.decision.note : ''}`
        ]
      ])
    )
  ]
  const acts = []
  if (past.canReplay && c.unknown)
    acts.push(h('a', { class: 'btn primary', href: `${base}/inbox?run=${encodeURIComponent(id)}&call=${c.n}` }, 'Decide'))
  if (past.canReplay && a) acts.push(h('a', { class: 'btn', href: forkURL(id, c) }, 'What if it had answered otherwise?'))
  const other = (c.kind === 'await' && c.head?.run) || (c.kind === 'spawn' && a?.head?.run)
  if (other)
    acts.push(h('a', { class: 'btn', href: `${base}/runs/${encodeURIComponent(other)}` }, h('bdi', { class: 'clip' }, `Open ${other}`)))
  if (acts.length) out.push(h('p', { class: 'pad row' }, ...acts))
  if (c.kind === 'http') out.push(tries(c))
  const command = seq => () => `flawless workflow log ${quoted(id)} --json | jq 'select(.seq == ${seq})'`
  const whole = (seq, find) => async () => {
    const rec = await past.record(seq)
    return rec.entries.map(find).find(x => x)?.body ?? ''
  }
  const raw = c.kind === 'http'
  if ((c.body !== undefined && c.body !== '') || c.short) {
    out.push(
      payload({
        name: 'Request',
        body: c.body,
        raw,
        headers: c.head?.headers,
        load: c.body === undefined ? whole(c.seq, e => e.turn?.calls?.find(x => x.n === c.n)) : undefined,
        copies: { ...(raw ? { 'Copy as curl': body => curl(c.head, body) } : {}), 'Copy as command': command(c.seq) }
      })
    )
  } else if (raw)
    out.push(payload({ name: 'Request', body: '', raw, headers: c.head?.headers, copies: { 'Copy as curl': () => curl(c.head, '') } }))
  if (a) {
    const load = a.body === undefined && a.short ? whole(a.seq, e => e.arrival?.call === c.n && e.arrival) : undefined
    out.push(
      payload({ name: 'Answer', body: a.body ?? '', raw, load, headers: a.head?.headers, copies: { 'Copy as command': command(a.seq) } })
    )
    const given = a.head?.error
    if (given) out.push(payload({ name: 'Error', body: given }))
  }
  out.push(payload({ name: 'Heads', body: { request: c.head, answer: a?.head } }))
  return out
}
