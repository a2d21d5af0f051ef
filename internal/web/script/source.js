// Source text around a line.
import { h, number } from './dom.js'

const around = 8,
  maxLines = 3000

/** Splits "shop/main.go:58" into a file and a line, or returns null. */
export function site(text) {
  const m = /^(.+):(\d+)$/.exec(text || '')
  return m && { file: m[1], line: Number(m[2]) }
}

/**
 * Shows a file around a line, and all of it on request. notes has texts that belong to lines, by line.
 * whole is what the reader asked for before, and remember is told when that changes.
 */
export function listing(file, line, notes, whole, remember) {
  const lines = file.text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const from = whole ? Math.max(0, line - maxLines / 2) : Math.max(0, line - 1 - around),
    to = Math.min(lines.length, whole ? from + maxLines : line + around)
  const code = h('div', { class: 'code', tabindex: '0', role: 'group', 'aria-label': `${file.name}, line ${line}` })
  for (let i = from; i < to; i++) {
    const n = i + 1,
      note = notes?.get(n)
    code.append(
      h(
        'div',
        { class: `ln${n === line ? ' on' : ''}` },
        h('span', { class: 'no' }, String(n)),
        h('code', {}, lines[i] || ' '),
        note ? h('span', { class: 'note' }, note) : ''
      )
    )
  }
  const button = h(
    'button',
    { type: 'button', class: 'btn', 'aria-pressed': String(whole), onclick: () => remember(!whole) },
    whole ? 'Around the line' : `Whole file, ${number(lines.length)} lines`
  )
  const el = h(
    'div',
    { class: 'source' },
    h(
      'header',
      {},
      h('code', { class: 'clip' }, h('bdi', {}, `${file.name}:${line}`)),
      h('span', { class: 'grow' }),
      lines.length > 2 * around + 1 ? button : ''
    ),
    code
  )
  // Only the listing scrolls, never the page.
  if (whole)
    requestAnimationFrame(() => {
      const on = code.querySelector('.on')
      if (on) code.scrollTop = on.offsetTop - code.clientHeight / 2
    })
  return el
}
