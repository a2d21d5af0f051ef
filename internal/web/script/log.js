// The log of a run as a list. Only what is visible is in the page.
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from '@tanstack/virtual-core'
import { h, icon, $, exact, number, when, zone } from './dom.js'
import { link, payload } from './payload.js'

const kinds = [
  ['Turns', ['turn', 'start', 'done']],
  ['Calls', ['call', 'answer', 'bad', 'doubt']],
  ['Lines', ['line']],
  ['Data', ['data']],
  ['People', ['person', 'doubt']]
]
const rowHeight = 32,
  openHeight = 340,
  maxHeight = 560

export class Log {
  shown = []
  wide = new Set()
  on = new Set()
  cur = { turn: 0, call: 0 }
  /** go(turn, call, entry) moves the one cursor of the page. */
  constructor(past, m, go) {
    Object.assign(this, { past, m, go })
    this.filter = h('input', {
      class: 'field',
      id: 'logfilter',
      placeholder: 'Filter, as a regular expression',
      'aria-label': 'Filter the log',
      spellcheck: 'false',
      oninput: () => this.select()
    })
    this.count = h('span', { class: 'sub' })
    this.wrong = h('span', { class: 'sub st failed', role: 'status' })
    this.box = h(
      'div',
      { class: 'log', tabindex: '0', role: 'group', 'aria-label': 'Entries of the log' },
      (this.inner = h('div', { class: 'log-in' }))
    )
    const chips = kinds.map(([name]) =>
      h('button', { type: 'button', class: 'chip', 'aria-pressed': 'false', onclick: e => this.#toggle(name, e.currentTarget) }, name)
    )
    const close = h(
      'button',
      {
        type: 'button',
        class: 'btn',
        onclick: () => {
          this.wide.clear()
          this.resize()
        }
      },
      'Close all'
    )
    this.close = close
    this.el = h(
      'section',
      { class: 'panel', 'aria-label': 'Log' },
      h('header', {}, h('h2', {}, 'Log'), this.count, this.wrong, h('span', { class: 'grow' }), close),
      h('div', { class: 'logtools' }, this.filter, ...chips),
      this.box
    )
    this.list = new Virtualizer({
      count: 0,
      getScrollElement: () => this.box,
      estimateSize: i => this.#height(i),
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      overscan: 6,
      onChange: () => this.draw()
    })
    this.list._didMount()
    this.list._willUpdate()
    document.addEventListener('zone', () => this.draw())
  }

  #height(i) {
    return this.wide.has(this.shown[i]?.key) ? openHeight : rowHeight
  }
  #toggle(name, chip) {
    this.on.has(name) ? this.on.delete(name) : this.on.add(name)
    chip.setAttribute('aria-pressed', String(this.on.has(name)))
    this.select()
  }

  /** Chooses the rows again, after the filter or the log has changed. */
  select() {
    const rows = this.m.rows
    let re
    this.wrong.textContent = ''
    try {
      re = this.filter.value && new RegExp(this.filter.value, 'i')
    } catch {
      this.wrong.textContent = 'not a regular expression'
    }
    const want = new Set(kinds.filter(([n]) => this.on.has(n)).flatMap(([, k]) => k))
    this.shown =
      re || this.on.size ? rows.filter(r => (!this.on.size || want.has(r.kind)) && (!re || re.test(`${r.say} ${r.text}`))) : rows.slice()
    this.count.textContent =
      this.shown.length === rows.length
        ? `${number(rows.length)} entries`
        : `${number(this.shown.length)} of ${number(rows.length)} entries`
    this.resize()
  }

  resize() {
    this.list.setOptions({ ...this.list.options, count: this.shown.length, estimateSize: i => this.#height(i) })
    this.list.measure()
    this.box.style.height = `${Math.min(maxHeight, Math.max(rowHeight, this.list.getTotalSize()))}px`
    this.list._willUpdate()
    this.draw()
  }

  /** Marks the turn or call, and scrolls to it. An entry is the key of a row, which is opened. */
  show(turn, call, scroll, entry) {
    this.cur = { turn, call }
    if (entry && !this.wide.has(entry)) {
      this.wide.add(entry)
      this.resize()
    }
    if (scroll) {
      const i = this.shown.findIndex(r => (entry ? r.key === entry : call ? r.call === call : r.kind === 'turn' && r.turn === turn))
      if (i >= 0) this.list.scrollToIndex(i, { align: 'center' })
    }
    this.draw()
  }

  draw() {
    const { cur } = this
    this.inner.style.height = `${this.list.getTotalSize()}px`
    this.close.hidden = !this.wide.size
    // Open rows stay as they are, so that what somebody has opened or selected in them is not lost.
    const have = new Map([...this.inner.children].map(el => [el.dataset.key, el]))
    const focus = document.activeElement?.dataset?.row
    const now = this.list.getVirtualItems().map(item => {
      const r = this.shown[item.index],
        open = this.wide.has(r.key),
        old = have.get(r.key)
      const el = open && old?.dataset.open === 'true' ? old : this.#row(r, open)
      const on = (r.turn === cur.turn && r.kind === 'turn') || (cur.call && r.call === cur.call)
      el.className = `ent k-${r.kind}${on ? ' cur' : ''}${r.turn > cur.turn && cur.turn ? ' later' : ''}`
      el.style.transform = `translateY(${item.start}px)`
      el.style.height = `${item.size}px`
      return el
    })
    // Replacing all at once would take the focus away from rows that stay.
    const keep = new Set(now)
    for (const el of [...this.inner.children]) if (!keep.has(el)) el.remove()
    now.forEach((el, i) => {
      if (this.inner.children[i] !== el) this.inner.insertBefore(el, this.inner.children[i] || null)
    })
    if (focus !== undefined && document.activeElement?.dataset?.row !== focus)
      $(`[data-row="${focus}"]`, this.inner)?.focus({ preventScroll: true })
  }

  #row(r, open) {
    const clock = r.kind === 'turn' || r.kind === 'start'
    const el = h(
      'div',
      { class: 'ent', 'data-key': r.key, 'data-open': String(open) },
      h(
        'button',
        { type: 'button', 'data-row': r.key, 'aria-expanded': String(open), onclick: () => this.#click(r) },
        h(
          'span',
          { class: 'at', title: `${when(r.at, 'clock')} ${zone()}, ${new Date(r.at).toISOString()}` },
          clock ? when(r.at, 'clock') : `+${exact(Math.max(0, r.at - this.m.t0))}`
        ),
        icon(r.kind === 'start' || r.kind === 'done' ? 'answer' : r.kind),
        h('bdi', { class: 'txt clip' }, h('b', {}, r.say), ' ', r.text),
        h('span', { class: 'meta' }, r.cost !== undefined ? `${number(r.cost)} units` : r.meta || '')
      )
    )
    if (!open) return el
    const hash = `#turn=${r.turn}${r.call ? `&call=${r.call}` : ''}&entry=${r.key}`
    el.append(
      h(
        'div',
        { class: 'more' },
        payload({
          name: 'Entry',
          body: r.body,
          load: r.short ? () => this.#whole(r) : undefined,
          copies: { 'Copy link': () => link(hash) }
        })
      )
    )
    return el
  }

  #click(r) {
    const open = this.wide.has(r.key)
    open ? this.wide.delete(r.key) : this.wide.add(r.key)
    if (r.turn) this.go(r.turn, r.call, { scroll: false, entry: open ? undefined : r.key })
    this.resize()
  }

  /** Fetches the entry again, with everything that was left out. */
  async #whole(r) {
    const rec = await this.past.record(r.seq)
    return r.get(rec.entries[r.entry])
  }
}
