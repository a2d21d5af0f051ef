// Any past turn of a run: a slider, and what the run looked like after the turn. Data, calls and cost come from the log; where
// the code stood comes from a replay on the server.
import { cut, h, icon, when, zone, exact, number, $ } from './dom.js'
import { changes, valueAt } from './change.js'
import { title } from './model.js'
import { tree } from './payload.js'
import { listing, site } from './source.js'

/** Runs with more turns are replayed when somebody asks: a replay computes all turns up to the one that is shown. */
const maxUnasked = 500
/** Neighbours are replayed in advance only if that is quick. */
const quick = 400
const settle = 120 // ms for which the slider has to rest

const short = v => {
  const t = v === undefined ? '' : JSON.stringify(v)
  return t.length > 200 ? t.slice(0, 200) + '…' : t
}
/** Why a replay does not say where the code stands. A guest has a budget for saying it, which is enough for about 1,000 goroutines. */
const silent = open =>
  open > 500
    ? `The replay does not say where the code waits: too many goroutines or tasks may be waiting. ${number(open)} calls are without an answer.`
    : 'This module does not tell where it waits.'
/** How a run ended, in words. */
const end = x =>
  x.failure ? `The run failed in this turn: ${cut(x.failure.message, 200)}` : 'The run ended in this turn, so nothing waits.'
const siteOf = f => (f.site?.file ? `${f.site.file}:${f.site.line}` : '')

/** The slider with its buttons and the search. */
export class Transport {
  /** go(turn, call) moves the one cursor of the page. */
  constructor(past, m, go) {
    Object.assign(this, { past, m, go })
    const step = (label, shape, to) =>
      h('button', { type: 'button', class: 'icon-btn', 'aria-label': label, title: label, onclick: () => go(to()) }, icon(shape))
    const first = () => m.turns[0]?.n || 0,
      last = () => m.turns.at(-1)?.n || 0
    this.range = h('input', { type: 'range', min: 1, max: 1, step: 1, 'aria-label': 'Turn' })
    this.range.addEventListener('input', () => go(Number(this.range.value)))
    this.say = h('span', { class: 'at-turn' })
    this.kind = h(
      'select',
      { class: 'field', 'aria-label': 'What to look for' },
      ...[
        ['any', 'anything'],
        ['data', 'data'],
        ['field', 'data field'],
        ['call', 'a call'],
        ['line', 'a log line']
      ].map(([v, t]) => h('option', { value: v }, t))
    )
    this.text = h('input', { class: 'field', placeholder: 'First turn where …', 'aria-label': 'First turn where', spellcheck: 'false' })
    this.found = h('span', { class: 'sub', role: 'status' })
    this.next = h('button', { type: 'button', class: 'btn', hidden: true, onclick: () => this.#step() }, 'Next')
    this.kind.addEventListener('change', () => {
      this.text.placeholder = this.kind.value === 'field' ? 'status=paid, or a path' : 'First turn where …'
    })
    this.el = h(
      'section',
      { class: 'panel transport', 'aria-label': 'Turns' },
      h(
        'span',
        { class: 'steps' },
        step('First turn', 'first', first),
        step('Previous turn', 'previous', () => Math.max(first(), this.turn - 1)),
        step('Next turn', 'following', () => Math.min(last(), this.turn + 1)),
        step('Last turn', 'last', last)
      ),
      this.range,
      this.say,
      h(
        'form',
        {
          class: 'finder',
          onsubmit: e => {
            e.preventDefault()
            this.find()
          }
        },
        this.kind,
        this.text,
        h('button', { class: 'btn' }, 'Find'),
        this.next
      ),
      this.found
    )
  }

  show(turn) {
    const { m } = this,
      t = m.turnAt(turn),
      last = m.turns.at(-1)?.n || 1
    this.turn = turn
    this.el.hidden = !m.turns.length
    this.range.min = m.turns[0]?.n || 1
    this.range.max = last
    if (Number(this.range.value) !== turn) this.range.value = turn
    this.range.setAttribute('aria-valuetext', `Turn ${turn} of ${last}`)
    this.say.replaceChildren(
      h('b', {}, `Turn ${number(turn)}`),
      ` of ${number(last)}`,
      t
        ? h('span', { class: 't3' }, ` ${when(t.at, 'clock')} ${zone()} · +${exact(Math.max(0, t.at - m.t0))} · ${number(t.cost)} units`)
        : ''
    )
  }

  /** Looks for the text, and goes to the first turn that has it. */
  async find() {
    const text = this.text.value,
      kind = this.kind.value
    this.abort?.abort()
    if (!text) return
    this.abort = new AbortController()
    this.matches = kind === 'field' ? this.#field(text) : this.past.find(text, this.abort.signal)
    this.wanted = kind
    this.found.textContent = ''
    this.hits = 0
    this.lastHit = 0
    await this.#step()
  }

  async #step() {
    try {
      for (;;) {
        const { value: hit, done } = await this.matches.next()
        if (done) {
          this.next.hidden = true
          this.found.textContent = this.hits ? 'No later turn has it.' : 'No turn has it. Upper and lower case matter.'
          return
        }
        if (!['any', 'field', hit.what].includes(this.wanted) || hit.turn === this.lastHit) continue
        this.hits++
        this.lastHit = hit.turn
        this.found.replaceChildren(
          `Turn ${hit.turn}, ${hit.what}${hit.call ? ` ${hit.call}` : ''}: `,
          h('code', {}, h('bdi', {}, hit.text))
        )
        this.next.hidden = false
        return this.go(hit.turn, hit.call || 0)
      }
    } catch (err) {
      if (err.name !== 'AbortError') this.found.textContent = `It cannot be looked for: ${err.message}`
    }
  }

  /** Yields the turns in which a field gets a value: path=value, or only a path for any change of it. */
  async *#field(text) {
    const at = text.indexOf('='),
      path = (at < 0 ? text : text.slice(0, at)).trim(),
      want = at < 0 ? null : text.slice(at + 1).trim()
    let was
    for (const t of this.m.turns) {
      if (!t.published) continue
      const now = valueAt(t.data, path),
        say = now === undefined ? undefined : typeof now === 'string' ? now : JSON.stringify(now)
      if (say !== was && say !== undefined && (want === null || say === want))
        yield { turn: t.n, what: 'data', text: `${path} = ${short(now)}` }
      was = say
    }
  }
}

/** What the run looked like after a turn. */
export class Replay {
  constructor(past, m, go) {
    Object.assign(this, { past, m, go, answers: new Map(), whole: false, asked: false })
    this.body = h('div', { class: 'replay-body' })
    this.source = h('div', {})
    this.data = h('div', {})
    this.flight = h('div', {})
    this.call = h('div', {})
    this.parts = { Source: this.source, Data: this.data, 'Waits for': this.flight, Call: this.call }
    this.tabs = Object.keys(this.parts).map(name =>
      h(
        'button',
        {
          type: 'button',
          class: 'tab',
          'aria-pressed': 'false',
          'data-part': name,
          onclick: () => {
            this.chosen = true
            this.pick(name)
          }
        },
        name,
        h('span', { class: 'n' })
      )
    )
    this.el = h(
      'section',
      { class: 'panel pane replay', 'aria-label': 'At this turn' },
      h('header', { class: 'tabs', role: 'group', 'aria-label': 'What to show of the turn' }, ...this.tabs),
      this.body
    )
    this.body.append(...Object.values(this.parts))
    this.pick('Source')
  }

  pick(name) {
    this.part = name
    for (const t of this.tabs) t.setAttribute('aria-pressed', String(t.dataset.part === name))
    for (const [k, el] of Object.entries(this.parts)) el.hidden = k !== name
  }

  /** Shows a turn. moved says that somebody has moved there, which asks for a replay. */
  show(turn, moved) {
    this.asked ||= moved
    if (turn === this.turn && this.m.next === this.seen) return
    if (turn !== this.turn) {
      this.task = 0
      this.frame = 0
    }
    this.turn = turn
    this.seen = this.m.next
    this.#data()
    this.#flight()
    clearTimeout(this.timer)
    this.abort?.abort()
    this.abort = undefined
    const have = this.answers.get(turn)
    if (have) return this.#source(have)
    if (!this.past.canReplay) return this.#sites()
    if (!this.asked && this.m.turns.length > maxUnasked) {
      return this.source.replaceChildren(
        h(
          'p',
          { class: 'pad t2' },
          `To see where the code stood, the server replays the run up to the turn. This run has ${number(this.m.turns.length)} turns.`
        ),
        h(
          'p',
          { class: 'pad' },
          h(
            'button',
            {
              type: 'button',
              class: 'btn',
              onclick: () => {
                this.asked = true
                this.#replay(turn)
              }
            },
            'Replay'
          )
        )
      )
    }
    this.timer = setTimeout(() => this.#replay(turn), this.answers.size ? settle : 0)
  }

  /** Replays up to a turn. A request for another turn aborts it. */
  async #replay(turn) {
    const slow = setTimeout(() => {
      if (this.turn === turn)
        this.source.replaceChildren(h('p', { class: 'pad t3', role: 'status' }, `Replaying up to turn ${number(turn)} …`))
    }, 200)
    const abort = (this.abort = new AbortController()),
      begun = performance.now()
    try {
      const got = await this.past.inspect(turn, abort.signal)
      this.#keep(turn, got)
      if (this.turn !== turn) return
      this.#source(got)
      this.#flight()
      if (performance.now() - begun < quick) this.#ahead(turn)
    } catch (err) {
      if (err.name === 'AbortError' || this.turn !== turn) return
      this.source.replaceChildren(
        h('p', { class: 'pad st failed', role: 'alert' }, err.message),
        h('p', { class: 'pad' }, h('button', { type: 'button', class: 'btn', onclick: () => this.#replay(turn) }, 'Try again'))
      )
      this.#sites(true)
    } finally {
      clearTimeout(slow)
    }
  }

  #keep(turn, got) {
    this.answers.set(turn, got)
    if (this.answers.size > 200) this.answers.delete(this.answers.keys().next().value)
  }

  /** Replays the neighbours while nothing else is to be done. */
  #ahead(turn) {
    const idle = window.requestIdleCallback || (f => setTimeout(f, 300))
    const signal = this.abort.signal
    idle(async () => {
      for (const n of [turn + 1, turn - 1]) {
        if (signal.aborted || this.turn !== turn || this.answers.has(n) || !this.m.turnAt(n)) continue
        try {
          this.#keep(n, await this.past.inspect(n, signal))
        } catch {
          return
        } // it is asked for again when it is shown
      }
    })
  }

  /** Where each goroutine or task stands, and the source there. */
  #source(i) {
    const tasks = i.tasks || []
    if (!tasks.length) {
      const t = this.m.turnAt(this.turn)
      this.source.replaceChildren(
        h('p', { class: 'pad t2' }, t?.ended ? end(t.ended) : i.blocked ? '' : silent(this.m.inFlight(this.turn).length)),
        i.blocked && !t?.ended ? h('pre', { tabindex: '0' }, i.blocked) : ''
      )
      return this.#sites(true)
    }
    const n = tasks.reduce((n, t) => n + (t.count || 1), 0)
    const out = [h('p', { class: 'pad t2' }, n === 1 ? 'One goroutine or task waits here:' : `${number(n)} goroutines or tasks wait:`)]
    const list = h('ul', { class: 'stand' })
    tasks.slice(0, 100).forEach((t, k) => {
      const call = t.call ? h('button', { type: 'button', class: 'link', onclick: () => this.go(this.turn, t.call) }, `call ${t.call}`) : ''
      const frames = (t.frames || []).map((f, j) =>
        h(
          'button',
          {
            type: 'button',
            class: 'frame',
            'aria-pressed': String(k === this.task && j === this.frame),
            onclick: () => {
              this.task = k
              this.frame = j
              this.#source(i)
            }
          },
          h('bdi', { class: 'clip' }, f.func),
          h('code', { class: 'clip' }, h('bdi', {}, siteOf(f)))
        )
      )
      list.append(
        h(
          'li',
          {},
          h(
            'div',
            { class: 'why' },
            h('span', { class: 'st waiting' }, t.count > 1 ? `${number(t.count)} × ` : '', t.state),
            call,
            t.started ? h('span', { class: 't3 clip' }, `started at ${siteOf(t.started)}`) : ''
          ),
          ...frames
        )
      )
    })
    if (tasks.length > 100) list.append(h('li', { class: 'pad t3' }, `and ${number(tasks.length - 100)} more places`))
    const place = h('div', {})
    this.source.replaceChildren(...out, list, place)
    const f = tasks[this.task]?.frames?.[this.frame]
    if (f?.site?.file) this.#text(place, i.digest, f.site.file, f.site.line)
  }

  /**
   * Without a replay, and after the end, the source at the calls of the turn is the best there is: at those it made, or
   * else at those whose answers it was given.
   */
  #sites(more) {
    const t = this.m.turnAt(this.turn),
      at = list => (list || []).map(n => site(this.m.calls.get(n)?.head?.at)).filter(Boolean)
    const made = at(t?.calls),
      sites = made.length ? made : at(t?.answers)
    const say = made.length
      ? 'Calls of this turn were made here:'
      : sites.length
        ? 'The turn was given the answer of the call here:'
        : more
          ? ''
          : 'The run made no calls in this turn.'
    if (!more) this.source.replaceChildren()
    const place = h('div', {})
    this.source.append(say && h('p', { class: 'pad t2' }, say), place)
    if (sites[0]) this.#text(place, this.m.digest, sites[0].file, sites[0].line)
  }

  async #text(place, digest, name, line) {
    const turn = this.turn
    let file = null
    try {
      file = await this.past.file(digest, name)
    } catch {
      /* then there is only its name */
    }
    if (turn !== this.turn) return
    if (!file)
      return place.replaceChildren(
        h(
          'p',
          { class: 'pad t3' },
          'The module does not carry its source: build it with ',
          h('code', {}, 'flawless build'),
          ' to see the lines here. It is ',
          h('code', {}, `${name}:${line}`),
          '.'
        )
      )
    const notes = new Map(
      [...this.m.sites(file.name, turn)].map(([n, c]) => [
        n,
        `call ${c.n}${c.given <= turn ? ` → ${c.answer?.head?.status || (c.bad ? 'error' : 'answered')}` : ' …'}`
      ])
    )
    place.replaceChildren(
      listing(file, line, notes, this.whole, whole => {
        this.whole = whole
        this.#text(place, digest, name, line)
      })
    )
  }

  /** Fetches data that was too long for the brief log. */
  async #load(...turns) {
    const turn = this.turn
    try {
      for (const t of turns) {
        if (!t?.missing) continue
        const rec = await this.past.record(t.dataSeq)
        t.data = rec.entries.map(e => e.turn?.data).findLast(d => d !== undefined)
        t.missing = false
      }
      if (turn === this.turn) this.#data()
    } catch (err) {
      this.data.replaceChildren(h('p', { class: 'pad st failed', role: 'alert' }, `The data cannot be read: ${err.message}`))
    }
  }

  #data() {
    const t = this.m.turnAt(this.turn),
      before = this.m.turnAt(this.turn - 1)
    if (t?.missing || (t?.published && before?.missing)) {
      return this.data.replaceChildren(
        h('p', { class: 'pad' }, h('button', { type: 'button', class: 'btn', onclick: () => this.#load(before, t) }, 'Load the data'))
      )
    }
    const list = t?.published ? changes(before?.data, t.data) : []
    this.#count('Data', list.length)
    if (!t || t.data === undefined) return this.data.replaceChildren(h('p', { class: 'pad t3' }, 'The run has published no data by then.'))
    this.data.replaceChildren(
      h(
        'p',
        { class: 'pad t2' },
        !t.published
          ? 'Not changed in this turn.'
          : !list.length
            ? 'Published again, without a change.'
            : `${list.length} change${list.length === 1 ? '' : 's'} in this turn:`
      ),
      h(
        'ul',
        { class: 'diffs' },
        ...list.map(c =>
          h(
            'li',
            { class: c.kind },
            h('code', { class: 'path' }, h('bdi', {}, c.path || 'all')),
            c.was !== undefined ? h('del', {}, h('bdi', {}, short(c.was))) : '',
            c.now !== undefined ? h('ins', {}, h('bdi', {}, short(c.now))) : '',
            h('span', { class: 'sr' }, c.kind)
          )
        )
      ),
      h('div', { class: 'pad' }, tree(t.data))
    )
  }

  #flight() {
    const { m, turn } = this,
      t = m.turnAt(turn)
    if (!t) return
    const open = m.inFlight(turn),
      i = this.answers.get(turn)
    this.#count('Waits for', open.length)
    const facts = [
      ['Cost of the turn', `${number(t.cost)} units`],
      ['Cost so far', `${number(t.spent)} units`],
      ['Computed', exact(Math.max(0, t.end - t.at))]
    ]
    if (t.wake) facts.push(['Next timer', `${when(t.wake, 'clock')} ${zone()}, ${exact(Math.max(0, t.wake - t.at))} after the turn`])
    if (i) facts.push(['Memory', `${number(Math.round(i.memory / 1024))} KiB, of which ${number(Math.round(i.own / 1024))} KiB its own`])
    this.flight.replaceChildren(
      h('dl', { class: 'kv' }, ...facts.flatMap(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])),
      h(
        'h3',
        { class: 'pad' },
        open.length ? `${number(open.length)} call${open.length === 1 ? '' : 's'} without an answer` : 'No call is in flight.'
      ),
      h(
        'ul',
        { class: 'rows' },
        ...open
          .slice(0, 200)
          .map(c =>
            h(
              'li',
              {},
              h(
                'button',
                { type: 'button', class: 'clip', onclick: () => this.go(turn, c.n) },
                h('code', {}, h('bdi', {}, `${c.n} ${title(c)}`))
              ),
              h('code', { class: 't3 clip' }, c.head?.at || '')
            )
          )
      ),
      open.length > 200 ? h('p', { class: 'pad t3' }, `and ${number(open.length - 200)} more`) : ''
    )
  }

  #count(name, n) {
    const el = $(`[data-part="${name}"] .n`, this.el)
    el.textContent = n ? String(n) : ''
    el.classList.toggle('count', n > 0)
  }
}
