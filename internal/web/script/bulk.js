// Many at once: the bar under the list of runs, and the page that changes one after another and shows how far it is.
import { base, h, number, $ } from './dom.js'
import { say } from './habits.js'
import { boxes } from './list.js'
import { login } from './live.js'

const atOnce = 4 // requests under way

/** The bar of the list says how many are selected. */
export function picked() {
  const bar = $('#bulkbar')
  if (!bar) return
  const n = boxes().filter(b => b.checked).length, all = $('#all'), match = $('#match')
  if (match && n < boxes().length) match.checked = false
  const many = match?.checked
  bar.classList.toggle('on', n > 0)
  $('#picked').textContent = many ? match.dataset.says : `${number(n)} selected`
  const offer = $('#matchlabel')
  if (offer) offer.hidden = !(n > 0 && n === boxes().length)
  if (!all) return
  all.hidden = false
  all.checked = n > 0 && n === boxes().length
  all.indeterminate = n > 0 && !all.checked
}

async function send(path, body) {
  const init = { method: 'POST' }
  if (body) { init.headers = { 'Content-Type': 'application/json' }; init.body = JSON.stringify(body) }
  const answer = await fetch(`${base}/api/v1/runs/${path}`, init)
  const got = await answer.json().catch(() => ({}))
  if (answer.status === 401) login()
  if (!answer.ok) throw new Error(got.detail || got.title || `status ${answer.status}`)
  return got
}

// One form, many requests: form#manydo has the list of what it is about as JSON, and says what to send.
function start(form) {
  const items = JSON.parse($('#items').textContent)
  const bar = $('#progress'), button = $('button.primary', form), told = $('#done')
  const request = form.dataset.request === 'resolve' ? decide(form) : act(form)
  let next = 0, done = 0, failed = 0, stop = false
  button.disabled = true
  $('#stop').hidden = bar.hidden = false
  $('#stop').onclick = () => { stop = true }
  const show = (item, state, text) => {
    const row = document.getElementById(`i-${item.n}`)
    const word = h('span', { class: `st ${state}` }, text)
    if (row) row.lastElementChild.replaceWith(word)
    else if (state === 'failed') $('#failures').append(h('li', {}, h('bdi', { class: 'clip' }, item.id), word))
  }
  const one = async () => {
    while (next < items.length && !stop) {
      const item = items[next++]
      try {
        const r = await request(item)
        show(item, r.status, form.dataset.request === 'restart' ? `started ${r.id}` : r.status)
      } catch (err) {
        failed++
        show(item, 'failed', err instanceof TypeError ? 'The connection was lost; look at the run.' : err.message)
      }
      bar.value = ++done
      told.textContent = `${number(done)} of ${number(items.length)}${failed ? `, ${number(failed)} refused` : ''}`
    }
  }
  Promise.all(Array.from({ length: atOnce }, one)).then(() => {
    $('#stop').hidden = true
    button.textContent = stop ? 'Stopped' : 'Done'
    const refused = failed ? `, ${number(failed)} refused: see below` : ''
    told.textContent = `${number(done - failed)} of ${number(items.length)} changed${refused}`
    say(told.textContent)
    form.dataset.done = 'true'
  })
}

const units = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 }

const act = form => {
  const { version, within, note } = form.elements, query = new URLSearchParams()
  if (version?.value.trim()) query.set('version', version.value.trim())
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(within?.value || '') || []
  if (n) query.set('deadline', new Date(Date.now() + n * units[unit]).toISOString())
  const verb = form.dataset.request, more = query.size ? `?${query}` : ''
  return item => {
    const body = { who: 'console', note: note?.value || '' }
    if (item.call) body.call = item.call
    return send(`${encodeURIComponent(item.id)}/${verb}${more}`, verb === 'restart' ? null : body)
  }
}
const decide = form => {
  const given = JSON.parse($('#decision').textContent)
  return item => {
    const confirm = given.resolution === 'retry' && Boolean(form.elements.confirm?.checked)
    const body = { ...given, note: form.elements.note.value, who: 'console' }
    if (confirm) body.confirm = true
    return send(`${encodeURIComponent(item.id)}/calls/${item.call}/resolve`, body)
  }
}

/** Sets up what the page has of this. */
export function bulk() {
  $('#all')?.addEventListener('change', e => {
    for (const b of boxes()) b.checked = e.target.checked
    picked()
  })
  $('#list')?.addEventListener('change', picked)
  $('#match')?.addEventListener('change', picked)
  picked()
  $('#manydo')?.addEventListener('submit', e => {
    e.preventDefault()
    if (!e.target.dataset.done) start(e.target)
  })
}
