// Turns and calls as bars over time. Only visible rows are in the page, and long gaps have a fixed width.
import { $, h, s, exact, number } from './dom.js'
import { title } from './model.js'

const maxFolds = 8

/** Gaps in which nothing begins or ends: idle ones longer than 300 ms and 14 % of what is left, busy ones longer than 5 s and 40 %. */
function folds(m, until) {
  const marks = [
    [m.t0, 0],
    [until, 0]
  ]
  for (const t of m.turns) marks.push([t.at, 0], [t.end, 0])
  for (const c of m.lanes) {
    if (c.kind === 'timer') {
      marks.push([c.begun, 0], [c.end || until, 0])
      continue
    }
    for (const t of c.tries) {
      const end = t.end || c.unknown?.at
      if (end && c.kind === 'http') marks.push([t.begun, 1], [end, -1])
      else marks.push([t.begun, 0], [end || until, 0])
    }
  }
  marks.sort((a, b) => a[0] - b[0])
  const gaps = []
  let open = 0
  for (let i = 0; i + 1 < marks.length; i++) {
    open += marks[i][1]
    const d = marks[i + 1][0] - marks[i][0]
    if (d > 300) gaps.push({ from: marks[i][0], to: marks[i + 1][0], d, busy: open > 0 })
  }
  let left = until - m.t0
  const out = []
  for (const g of gaps.sort((a, b) => b.d - a.d)) {
    if (out.length === maxFolds) break
    if (g.busy ? g.d > 5000 && g.d > left * 0.4 : g.d > left * 0.14) {
      out.push(g)
      left -= g.d
    }
  }
  return out.sort((a, b) => a.from - b.from)
}

/** A piecewise linear map from time to pixels. */
function scale(m, until, width, zoom, list) {
  const each = list.length ? Math.max(Math.min(72, (width * 0.3) / list.length), Math.min(180, (width * 0.3) / list.length)) : 0
  const free = (width - 24 - each * list.length) * zoom,
    time = Math.max(0.001, until - m.t0 - list.reduce((n, f) => n + f.d, 0))
  const T = [m.t0],
    X = [0]
  for (const f of list) {
    X.push(X.at(-1) + ((f.from - T.at(-1)) / time) * free)
    T.push(f.from)
    X.push(X.at(-1) + each)
    T.push(f.to)
  }
  X.push(X.at(-1) + ((until - T.at(-1)) / time) * free)
  T.push(until)
  const x = t => {
    let lo = 0,
      hi = T.length - 2
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1
      if (T[mid] <= t) lo = mid
      else hi = mid - 1
    }
    const d = T[lo + 1] - T[lo]
    return 12 + X[lo] + (d ? ((Math.max(T[lo], Math.min(T[lo + 1], t)) - T[lo]) / d) * (X[lo + 1] - X[lo]) : 0)
  }
  return { x, total: X.at(-1) + 24, perMs: free / time, T, X }
}

const some = (n, what) => `${number(n)} ${what}${n === 1 ? '' : 's'}`
const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 108e5, 216e5, 864e5, 6048e5, 2592e6
]

export class Timeline {
  zoom = 1
  ox = 0
  fold = true
  dirty = true
  constructor(root, m, open, pick) {
    Object.assign(this, { m, open, pick })
    this.body = h('div', { class: 'tl-body', tabindex: '0', role: 'group', 'aria-label': 'Calls and timers' }, (this.space = h('div', {})))
    this.axis = s('svg', { 'aria-hidden': 'true' })
    const button = (label, text, f) =>
      h('button', { type: 'button', class: 'btn', 'aria-label': label || undefined, title: label || 'Show all', onclick: f }, text)
    root.append(
      h(
        'header',
        {},
        h('h2', {}, 'Timeline'),
        (this.sub = h('span', { class: 'sub' })),
        h('span', { class: 'grow' }),
        h(
          'label',
          { class: 'check hide-s' },
          h('input', {
            type: 'checkbox',
            checked: true,
            onchange: e => {
              this.fold = e.target.checked
              this.changed()
            }
          }),
          ' Fold gaps'
        ),
        button('Zoom out', '−', () => this.zoomBy(0.5)),
        button('Zoom in', '+', () => this.zoomBy(2)),
        button('', 'Fit', () => {
          this.zoom = 1
          this.ox = 0
          this.changed()
        })
      ),
      (this.mini = h('canvas', { class: 'tl-mini', hidden: true, role: 'img', 'aria-label': 'Calls under way over time' })),
      h(
        'div',
        { class: 'tl-axis' },
        h('span', { class: 'cap' }, 'time since the start'),
        h('span', { class: 'cap b' }, 'turns'),
        this.axis
      ),
      this.body,
      h(
        'div',
        { class: 'legend hide-s' },
        ...[
          ['b-bar', 'sent → answered'],
          ['b-bad', 'refused or failed'],
          ['b-wait', 'sleeps or waits'],
          ['b-open', 'under way'],
          ['b-doubt', 'outcome unknown']
        ].map(([c, t]) => h('span', {}, s('svg', {}, ...defs(), s('rect', { class: c, width: 22, height: 10, rx: 2 })), t))
      )
    )
    this.body.addEventListener('scroll', () => this.draw(), { passive: true })
    this.body.addEventListener(
      'wheel',
      e => {
        if (e.ctrlKey || e.metaKey) {
          e.preventDefault()
          this.zoomBy(e.deltaY < 0 ? 1.25 : 0.8, e.clientX - this.axis.getBoundingClientRect().left)
        } else if (e.deltaX || e.shiftKey) {
          e.preventDefault()
          this.ox += e.deltaX || e.deltaY
          this.changed()
        }
      },
      { passive: false }
    )
    this.body.addEventListener('click', e => {
      const r = e.target.closest('.tl-rowx')
      if (r) this.pick({ lane: this.m.lanes[Number(r.dataset.i)] })
    })
    this.axis.addEventListener('click', e => {
      const n = e.target.closest('[data-turn]')
      if (n) this.pick({ turn: Number(n.dataset.turn) })
    })
    this.mini.addEventListener('pointerdown', e => {
      const from = e.offsetX / this.mini.clientWidth
      this.mini.addEventListener(
        'pointerup',
        e => {
          const to = e.offsetX / this.mini.clientWidth,
            d = Math.abs(to - from),
            w = this.width()
          if (d > 0.01) {
            this.zoom = Math.min(5000, 1 / d)
          } else this.zoom = Math.max(this.zoom, 8)
          const sc = scale(this.m, this.m.until(this.open()), w, this.zoom, [])
          const time = this.m.until(this.open()) - this.m.t0
          this.fold = false
          $('input', root).checked = false
          this.ox = sc.x(this.m.t0 + Math.min(from, to) * time) - 12
          this.changed()
          this.reveal(this.m.lanes.findIndex(l => l.begun >= this.m.t0 + Math.min(from, to) * time))
        },
        { once: true }
      )
    })
    new ResizeObserver(() => this.changed()).observe(this.body)
  }
  width() {
    return Math.max(200, this.axis.clientWidth || this.body.clientWidth)
  }
  zoomBy(f, at = this.width() / 2) {
    const z = Math.max(1, Math.min(5000, this.zoom * f))
    this.ox = ((this.ox + at) * z) / this.zoom - at
    this.zoom = z
    this.changed()
  }
  reveal(i) {
    if (i < 0) return
    const top = i * this.rowH,
      b = this.body
    if (top < b.scrollTop || top > b.scrollTop + b.clientHeight - this.rowH) b.scrollTop = Math.max(0, top - b.clientHeight / 2)
  }
  changed() {
    this.dirty = true
    this.draw()
  }

  /** Moves the cursor. What it is about comes into view, if it is not. Folds and the scale stay as they are. */
  moveTo(turn, lane, reveal) {
    this.turn = turn
    this.selected = lane
    this.moved = true
    if (reveal) this.wanted = turn
    this.draw()
  }

  /** Scrolls to the turn that is wanted. */
  goThere(width) {
    const { m } = this,
      t = m.turnAt(this.wanted)
    this.wanted = 0
    if (!t) return
    const x = this.scale.x(t.at) - this.ox
    if (x < 0 || x > width - 40) this.ox = Math.max(0, Math.min(this.scale.x(t.at) - width / 4, this.scale.total - width))
    const i = this.selected ? m.lanes.indexOf(this.selected) : m.lanes.findIndex(l => l.turn >= t.n)
    this.reveal(i < 0 ? m.lanes.length - 1 : i)
  }
  draw() {
    if (this.pending) return
    this.pending = requestAnimationFrame(() => {
      this.pending = 0
      this.paint()
    })
  }

  paint() {
    const { m } = this,
      open = this.open(),
      until = m.until(open),
      width = this.width()
    this.rowH = matchMedia('(max-width: 720px)').matches ? 48 : 28
    if (this.dirty || open) {
      this.dirty = false
      this.list = this.fold ? folds(m, until) : []
      this.scale = scale(m, until, width, this.zoom, this.list)
      this.ox = Math.max(0, Math.min(this.ox, this.scale.total - width))
      this.space.style.height = `${m.lanes.length * this.rowH || 44}px`
      const calls = some(m.lanes.filter(l => l.n).length, 'call')
      this.sub.textContent = `${calls} · ${some(m.turns.length, 'turn')} · ${exact(until - m.t0)}${open ? ' so far' : ''}`
      this.paintMini(until)
      this.moved = true
    }
    if (this.wanted) this.goThere(width)
    if (this.moved) {
      this.moved = false
      this.paintAxis(width, until)
    }
    const x = t => this.scale.x(t) - this.ox,
      first = Math.max(0, Math.floor(this.body.scrollTop / this.rowH) - 2),
      last = Math.min(m.lanes.length, first + Math.ceil(this.body.clientHeight / this.rowH) + 5)
    const rows = []
    for (let i = first; i < last; i++) rows.push(this.row(m.lanes[i], i, x, until, width))
    this.space.replaceChildren(...rows, ...(m.lanes.length ? [] : [h('p', { class: 'pad t3' }, 'This run has made no calls.')]))
  }

  paintAxis(width, until) {
    const { scale: sc, m } = this,
      out = [...defs()],
      x = t => sc.x(t) - this.ox,
      inFold = t => this.list.some(f => t < f.to && x(f.from) - x(t) < 48)
    for (const f of this.list) {
      const a = x(f.from),
        b = x(f.to)
      out.push(
        s('rect', { class: 'b-fold', x: a, y: 2, width: Math.max(0, b - a), height: 20, rx: 3 }),
        s('text', { x: (a + b) / 2, y: 16, 'text-anchor': 'middle' }, exact(f.d))
      )
    }
    const step = steps.find(n => n * sc.perMs > 90) || steps.at(-1)
    for (let i = 0; i + 1 < sc.T.length; i += 2) {
      for (let t = Math.ceil((sc.T[i] - m.t0) / step) * step + m.t0, n = 0; t <= sc.T[i + 1] && n < 400; t += step, n++) {
        const at = x(t)
        if (at > -20 && at < width - 30 && !inFold(t))
          out.push(s('path', { class: 'b-turn', d: `M${at} 20v4` }), s('text', { x: at + 3, y: 16 }, t === m.t0 ? '0' : exact(t - m.t0)))
      }
    }
    let free = -100
    for (const t of m.turns) {
      const at = x(t.at),
        on = t.n === this.turn
      if (at < -20 || at > width + 20) continue
      if (at - free > 24 || on) {
        free = at
        out.push(
          s(
            'g',
            { 'data-turn': t.n },
            s('rect', {
              x: at - 10,
              y: 27,
              width: Math.max(20, String(t.n).length * 7 + 8),
              height: 18,
              rx: 4,
              class: on ? 'b-ink' : 'b-fold'
            }),
            s('text', { x: at - 6, y: 40, class: on ? 'b-on' : '' }, String(t.n))
          )
        )
      } else if (at - free > 2) out.push(s('path', { class: 'b-turn', d: `M${at} 42v4` }))
    }
    this.axis.replaceChildren(...out)
  }

  paintMini(until) {
    const show = this.m.lanes.length > 24
    this.mini.hidden = !show
    if (!show) return
    const w = (this.mini.width = this.mini.clientWidth || 600),
      tall = (this.mini.height = 36),
      ctx = this.mini.getContext('2d'),
      n = new Float64Array(w + 1),
      bad = new Uint8Array(w + 1),
      css = getComputedStyle(document.documentElement)
    const at = t => Math.max(0, Math.min(w - 1, Math.floor(((t - this.m.t0) / (until - this.m.t0)) * w)))
    for (const c of this.m.lanes) {
      if (!c.n) continue
      n[at(c.begun)]++
      n[at(c.end || until) + 1]--
      if (c.bad || c.unknown) bad[at(c.end || c.begun)] = 1
    }
    let top = 1
    for (let i = 0, k = 0; i < w; i++) {
      k += n[i]
      n[i] = k
      top = Math.max(top, k)
    }
    const colour = name => {
      const el = h('i', { class: name })
      this.mini.after(el)
      const c = getComputedStyle(el).color
      el.remove()
      return c
    }
    const normal = colour('t3'),
      red = colour('st failed')
    for (let i = 0; i < w; i++) {
      ctx.fillStyle = bad[i] ? red : normal
      const y = (n[i] / top) * (tall - 2)
      ctx.fillRect(i, tall - Math.max(y, bad[i] ? 4 : 0), 1, tall)
    }
  }

  row(c, i, x, until, width) {
    const y = this.rowH === 48 ? 12 : 14,
      svg = s('svg', { width: '100%', height: this.rowH === 48 ? 24 : 28, 'aria-hidden': 'true' }, ...defs())
    const put = (cls, a, b, tall = 10) => {
      a = Math.max(-5, x(a))
      b = Math.min(width + 5, x(b))
      if (b >= -5 && a <= width + 5)
        svg.append(s('rect', { class: cls, x: a, y: y - tall / 2, width: Math.max(2, b - a), height: tall, rx: 2 }))
    }
    const line = (cls, a, b) => svg.append(s('path', { class: cls, d: `M${Math.max(-5, x(a))} ${y}H${Math.min(width + 5, x(b))}` }))
    for (const f of this.list) for (const t of [f.from, f.to]) svg.append(s('path', { class: 'b-foldline', d: `M${x(t)} 0v48` }))
    const now = this.m.turnAt(this.turn)
    if (now) svg.append(s('path', { class: 'b-cur', d: `M${x(now.at)} 0v48` }))
    let result = '',
      cls = 'r',
      end = c.end
    if (c.kind === 'timer') {
      put('b-wait', c.begun, c.end || until)
      result = exact((c.end || c.wake) - c.begun)
    } else {
      c.tries.forEach((t, k) => {
        const st = t.stages || {},
          stop = t.end || c.unknown?.at || (c.done ? c.end : until)
        if (c.kind !== 'http') return put(t.bad ? 'b-bad' : 'b-wait', t.begun, stop)
        if (k > 0 && c.tries[k - 1].end) line('b-dot', c.tries[k - 1].end, t.begun)
        svg.append(s('path', { class: 'b-line', d: `M${x(t.begun)} ${y - 4}v8` }))
        const sent = st.sent || st.connected
        if (sent) line('b-line', t.begun, sent)
        put(t.bad ? 'b-bad' : t.end ? 'b-bar' : c.unknown ? 'b-bar' : 'b-open', sent || t.begun, stop)
      })
      if (c.next && !c.done && c.tries.at(-1).end) line('b-dot', c.tries.at(-1).end, until)
      const doubt = c.unknown || c.settled
      if (doubt) put('b-doubt', doubt.at, doubt.until || c.end || until)
      if (c.decision) svg.append(s('circle', { class: 'b-person', cx: x(c.decision.at), cy: y, r: 5 }))
      const n = c.tries.length
      result = c.unknown
        ? 'unknown'
        : c.done
          ? `${n > 1 ? n + ' tries · ' : ''}${c.answer?.head?.status || (c.bad ? 'error' : '')}`
          : n > 1
            ? `attempt ${n}`
            : '…'
      if (c.unknown) cls += ' person'
      else if (c.bad) cls += ' bad'
      end ||= c.unknown?.at
    }
    if (end) {
      const at = x(end) + 6
      const label = exact(end - c.begun)
      if (at < width - 60 && at > 0 && !c.unknown) svg.append(s('text', { x: at, y: y + 4 }, label))
      else if (x(c.begun) > 60 && at > 0) svg.append(s('text', { x: x(c.begun) - 8, y: y + 4, 'text-anchor': 'end' }, label))
    }
    const name = c.kind === 'timer' ? 'timer' : title(c)
    const el = h(
      'div',
      { class: `tl-rowx${c === this.selected ? ' on' : ''}${now && c.begun > now.end ? ' later' : ''}`, 'data-i': i, title: name },
      h(
        'div',
        { class: 'tl-label' },
        h('span', { class: 'n' }, c.n ? String(c.n) : ''),
        h('bdi', { class: 'clip' }, name),
        h('span', { class: cls }, result)
      ),
      svg
    )
    el.style.transform = `translateY(${i * this.rowH}px)`
    return el
  }
}

const defs = () => {
  const hatch = (id, cls) =>
    s(
      'pattern',
      { id, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      s('path', { class: cls, d: 'M0 0v6', 'stroke-width': 3 })
    )
  return document.getElementById('hatch-w') ? [] : [s('defs', {}, hatch('hatch-w', 'h-w'), hatch('hatch-p', 'h-p'))]
}
