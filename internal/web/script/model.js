// The log of a run, folded into turns, calls and rows. Times are in ms.
import { cut, exact } from './dom.js'

const ms = ns => ns / 1e6
const stages = list => Object.fromEntries((list || []).map(x => [x.name, ms(x.at)]))
export const bare = url => String(url || '').replace(/^https?:\/\//, '')
const text = v => (v === undefined ? '' : typeof v === 'string' ? v : JSON.stringify(v))

/** The workflow that a call starts. Without a module, it is one of the same. */
const workflow = x => [x.module, x.workflow].filter(Boolean).join('/')

/** What a call is, in a few words. */
export function title(c) {
  const x = c.head || {}
  switch (c.kind) {
    case 'http':
      return `${x.method} ${bare(x.url)}`
    case 'receive':
      return `receive ${x.type || ''}`
    case 'spawn':
      return `start ${workflow(x)}`
    default:
      return `${c.kind} ${x.name || x.type || x.run || x.to || ''}`.trim()
  }
}

/** What a run that is not computing waits for, by its open calls: words and a call site. */
export function waits(m) {
  const open = [...m.calls.values()].filter(c => !c.done && !c.unknown && c.kind !== 'cancelled')
  const c = open.find(c => c.kind === 'receive') || open[0],
    at = c?.head?.at,
    more = open.length > 1 ? ` and ${open.length - 1} more` : ''
  if (c) {
    const x = c.head || {}
    const what = {
      receive: ['Waits for the message ', x.type],
      http: ['Waits for the answer of ', title(c)],
      promise: ['Waits until somebody settles the promise ', x.name],
      await: ['Waits for the end of run ', x.run || ''],
      spawn: ['Waits for the start of ', workflow(x)],
      sleep: ['Sleeps', ''],
      state: ['Waits for the state ', x.name]
    }[c.kind] || ['Waits for ', title(c)]
    return { say: what[0], code: what[1], more, at, wake: m.wake }
  }
  return m.wake ? { say: 'Waits for its timer', code: '', more: '', at: undefined, wake: m.wake } : null
}

/** What an entry is about: its only member besides the time and the request. */
const main = e => e[Object.keys(e).find(k => k !== 'at' && k !== 'request')]

/** The data after a turn. Long data is not in a brief log: it is missing, and the record dataSeq has it. */
function dataOf(t, last, seq, short) {
  if (t.data === undefined) return { published: false, data: last?.data, missing: last?.missing, dataSeq: last?.dataSeq }
  return { published: true, data: t.data, missing: short && t.data === null, dataSeq: seq }
}

export class Model {
  calls = new Map()
  lanes = []
  turns = []
  rows = []
  t0 = 0
  last = 0
  ended = 0
  turn = 0
  wake = 0
  next = 0
  cost = 0
  digest = ''

  /** A value in a few words. What the brief log has left out is long. */
  some(v) {
    return this.short && (v === undefined || v === null) ? '(long)' : cut(text(v), 300)
  }

  /** Adds a row to the log. Its key names it in links: the number of its record, and its number within that. */
  row(e, kind, o) {
    this.rows.push({
      at: ms(e.at),
      kind,
      turn: this.turn,
      seq: this.seq,
      key: `${this.seq}.${this.k++}`,
      short: this.short,
      entry: this.entry,
      get: main,
      ...o
    })
  }

  add(rec) {
    this.next = rec.seq + 1
    this.seq = rec.seq
    this.k = 0
    this.short = Boolean(rec.short)
    if (rec.cut) this.cost = rec.cut.cost || 0
    this.entry = -1
    for (const e of rec.entries) {
      const at = ms(e.at)
      this.entry++
      this.last = Math.max(this.last, at)
      if (e.start) {
        this.t0 = ms(e.start.time)
        this.digest = e.start.digest
        this.start = e.start
        this.row(e, 'start', {
          say: 'Start',
          text: `${e.start.module}/${e.start.workflow} with ${this.some(e.start.input)}`,
          body: e.start
        })
      } else if (e.turn) this.addTurn(e, e.turn, at)
      else if (e.attempt) this.addAttempt(e, e.attempt, at)
      else if (e.arrival) this.addArrival(e, e.arrival, at)
      else if (e.unknown) {
        const c = this.call(e.unknown.call),
          t = c.tries.at(-1)
        c.unknown = { at, reason: e.unknown.reason }
        if (t) t.stages = stages(e.unknown.stages)
        this.row(e, 'doubt', { call: c.n, say: `Call ${c.n}: outcome unknown`, text: e.unknown.reason, body: e.unknown })
      } else if (e.decision) {
        const c = this.call(e.decision.call)
        c.decision = { ...e.decision, at }
        c.unknown &&= { ...c.unknown, until: at }
        if (e.decision.resolution === 'retry') {
          c.settled = c.unknown
          c.unknown = undefined
        }
        this.row(e, 'person', {
          call: c.n,
          say: `${e.decision.who || 'Somebody'} decided about call ${c.n}`,
          text: `${e.decision.resolution}${e.decision.note ? ': ' + e.decision.note : ''}`,
          body: e.decision
        })
      } else if (e.cancel)
        this.row(e, 'person', { say: `${e.cancel.who || 'Somebody'} cancelled the run`, text: e.cancel.note || '', body: e.cancel })
      else if (e.pause)
        this.row(e, 'person', {
          say: `${e.pause.who || (e.pause.hold ? 'The server' : 'Somebody')} ${e.pause.resume ? 'resumed' : e.pause.hold ? 'holds' : 'paused'} the run`,
          text: e.pause.note || '',
          body: e.pause
        })
      else if (e.end) {
        this.ended = at
        this.row(e, 'bad', { say: `Ended: ${e.end.status}`, text: e.end.failure?.message || '', body: e.end })
      } else if (e.message)
        this.row(e, 'answer', {
          say: `Message ${e.message.type}`,
          text: `${e.message.from ? 'from ' + e.message.from + ' ' : ''}${cut(text(e.message.body), 300)}`,
          body: e.message
        })
      else if (e.upgrade) {
        this.digest = e.upgrade.digest
        this.row(e, 'person', {
          say: `${e.upgrade.who || 'Somebody'} moved the run to other code`,
          text: `version ${e.upgrade.version || '?'}, ${cut(e.upgrade.digest, 8)}`,
          body: e.upgrade
        })
      } else {
        const kind = Object.keys(e).find(k => k !== 'at') || '?'
        this.row(e, 'line', { say: kind, text: cut(text(e[kind]), 300), body: e[kind] })
      }
    }
  }

  call(n) {
    if (!this.calls.has(n)) {
      const c = { n, kind: 'lost', head: {}, begun: this.last, turn: this.turn, tries: [{ n: 1, begun: this.last }] }
      this.calls.set(n, c)
      this.lanes.push(c)
    }
    return this.calls.get(n)
  }

  addTurn(e, t, at) {
    this.turn = t.n
    const begun = ms(t.time),
      answers = t.answers || []
    this.cost += t.cost || 0
    const last = this.turns.at(-1)
    this.turns.push({
      n: t.n,
      at: begun,
      end: at,
      cost: t.cost || 0,
      spent: this.cost,
      seq: this.seq,
      short: this.short,
      wake: t.wake ? ms(t.wake) : 0,
      calls: (t.calls || []).map(c => c.n),
      answers,
      ...dataOf(t, last, this.seq, this.short),
      ended: t.ended
    })
    for (const n of answers) {
      const c = this.calls.get(n)
      if (c) c.given = t.n
    }
    const why = answers.length
      ? `given the answer${answers.length > 1 ? 's' : ''} of call${answers.length > 1 ? 's' : ''} ${cut(answers.join(', '), 80)}`
      : t.n > 1
        ? 'its timer was due'
        : 'begins'
    this.row(e, 'turn', { say: `Turn ${t.n}`, text: why, cost: t.cost || 0, body: t })
    const timer = this.timer
    if (timer && !(t.wake && ms(t.wake) === timer.wake)) {
      timer.end = begun
      timer.done = true
      this.timer = undefined
    }
    for (const [i, l] of (t.lines || []).entries())
      this.row(e, l.level === 'error' ? 'bad' : 'line', {
        say: l.text,
        text: text(l.fields),
        meta: l.at,
        body: l,
        get: e => e.turn.lines[i]
      })
    for (const [i, c] of (t.calls || []).entries()) {
      const x = {
        n: c.n,
        kind: c.kind,
        head: c.head || {},
        body: c.body,
        turn: t.n,
        begun: at,
        seq: this.seq,
        short: this.short,
        tries: [{ n: 1, begun: at }]
      }
      this.calls.set(c.n, x)
      if (c.kind === 'cancelled') continue
      this.lanes.push(x)
      this.row(e, 'call', { call: c.n, say: `Call ${c.n}`, text: title(x), meta: c.head?.at, body: c, get: e => e.turn.calls[i] })
    }
    if (t.data !== undefined) this.row(e, 'data', { say: 'Data', text: this.some(t.data), body: t.data, get: e => e.turn.data })
    this.wake = t.wake ? ms(t.wake) : 0
    if (t.wake && !this.timer) {
      this.timer = { kind: 'timer', begun: at, wake: this.wake, turn: t.n }
      this.lanes.push(this.timer)
      this.row(e, 'timer', { say: 'Timer', text: `for ${exact(Math.max(0, this.wake - at))}` })
    }
    if (t.ended) {
      this.ended = at
      if (this.timer) {
        this.timer.end = at
        this.timer.done = true
      }
      const f = t.ended.failure
      this.row(e, f ? 'bad' : 'done', {
        say: f ? 'Failed' : 'Returned',
        text: f ? f.message : this.some(t.ended.output),
        body: t.ended,
        get: e => e.turn.ended
      })
    }
  }

  addAttempt(e, a, at) {
    const c = this.call(a.call)
    if (a.begun) {
      const t = c.tries.at(-1)
      if (t && !t.end) Object.assign(t, { end: at, bad: true, result: a.result })
      c.tries.push({ n: a.n, begun: at })
      return this.row(e, 'call', { call: c.n, say: `Call ${c.n}: attempt ${a.n} begins`, text: a.result || '', body: a })
    }
    const t = c.tries.at(-1)
    if (t && a.result) Object.assign(t, { stages: stages(a.stages), end: at, result: a.result, bad: true })
    if (a.next) c.next = ms(a.next)
    this.row(e, a.result ? 'bad' : 'timer', {
      call: c.n,
      say: a.result ? `Call ${c.n}: attempt ${a.n}` : `Call ${c.n} waits`,
      text: a.result || a.waits || '',
      meta: a.next ? `next in ${exact(Math.max(0, ms(a.next) - at))}` : '',
      body: a
    })
  }

  addArrival(e, a, at) {
    const c = this.call(a.call),
      status = a.head?.status,
      bad = status >= 400 || Boolean(a.head?.error)
    if (c.kind === 'cancelled') return this.row(e, 'person', { say: 'The run is asked to give up', text: '', body: a })
    const t = c.tries.at(-1)
    c.done = true
    c.end = at
    c.answer = { ...a, seq: this.seq, short: this.short }
    c.bad = bad
    c.settled ||= c.unknown
    c.unknown = undefined
    if (t)
      Object.assign(t, { stages: stages(a.stages), end: at, bad, result: status || a.head?.error?.message || (bad ? 'error' : 'answered') })
    this.row(e, bad ? 'bad' : 'answer', {
      call: c.n,
      say: `Call ${c.n}: ${status || (bad ? 'error' : 'answered')}`,
      text: cut(a.note || text(a.head?.error) || text(a.body), 300),
      meta: exact(at - c.begun),
      body: a
    })
  }

  /** The turn of that number, or undefined. Turns have numbers without gaps, but a log may begin with a later one. */
  turnAt(n) {
    return this.turns.length ? this.turns[n - this.turns[0].n] : undefined
  }

  /** The calls that a run has made by the end of a turn, and whose answers no turn up to it was given. */
  inFlight(n) {
    return [...this.calls.values()].filter(c => c.turn <= n && c.kind !== 'cancelled' && !(c.given <= n))
  }

  /** The call whose site is in a file, by line: the last ones made up to a turn. */
  sites(file, n) {
    const out = new Map()
    for (const c of this.calls.values()) {
      const at = c.turn <= n && /^(.+):(\d+)$/.exec(c.head?.at || '')
      if (at && (file === at[1] || file.endsWith(`/${at[1]}`))) out.set(Number(at[2]), c)
    }
    return out
  }

  /** Until when the timeline shows it. */
  until(open) {
    return Math.max(this.last, open && !this.ended ? Date.now() : 0, this.t0 + 0.001)
  }
}
