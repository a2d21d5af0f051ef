// The chart of the overview: the pointer or the arrow keys choose a bar, and its figures are shown in words.
import { when, $, $$ } from './dom.js'

let at = -1

function show(chart, n) {
  const bars = $$('.bar', chart)
  at = Math.max(0, Math.min(bars.length - 1, n))
  const bar = bars[at], cursor = $('.cursor', chart)
  if (!bar) return
  const hit = $('.hit', bar)
  for (const name of ['x', 'width']) cursor.setAttribute(name, hit.getAttribute(name))
  cursor.removeAttribute('visibility')
  $('#reading').textContent = `${when(bar.dataset.from, 'short')}: ${bar.dataset.says}`
}
function hide(chart) {
  $('.cursor', chart)?.setAttribute('visibility', 'hidden')
  $('#reading').textContent = ''
}

// The chart is replaced while the page lives, so the events are those of the document.
const chartOf = e => e.target.closest?.('#chart')

/** Sets up the chart. */
export function chart() {
  document.addEventListener('pointermove', e => {
    const c = chartOf(e), bar = c && e.target.closest('.bar')
    if (bar) show(c, $$('.bar', c).indexOf(bar))
  })
  document.addEventListener('pointerout', e => {
    const c = chartOf(e)
    if (c && !c.contains(e.relatedTarget)) hide(c)
  })
  document.addEventListener('focusin', e => {
    const c = chartOf(e)
    if (c) show(c, at < 0 ? $$('.bar', c).length - 1 : at)
  })
  document.addEventListener('focusout', e => {
    const c = chartOf(e)
    if (c) hide(c)
  })
  document.addEventListener('keydown', e => {
    const c = chartOf(e), step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 }[e.key]
    if (!c || !step || e.metaKey || e.ctrlKey || e.altKey) return
    e.preventDefault()
    show(c, at + step)
  })
  document.addEventListener('fresh', () => {
    const c = $('#chart')
    if (c && (c === document.activeElement || c.matches(':hover')) && at >= 0) show(c, at)
  })
}
