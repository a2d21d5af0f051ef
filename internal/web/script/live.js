// The live connection: a stream of the API says which runs have changed, and the page is then fetched again and changed
// in place. The page keeps its scroll position, its selection and what people have typed.
import { Idiomorph } from 'idiomorph'
import { mayMorph } from './payload.js'
import { base, h, when, $ } from './dom.js'
import { say, times } from './habits.js'

const silence = 40_000 // the server sends something every 15 seconds

/**
 * A stream of server-sent events that comes back by itself, with the id of the last event: so the server sends what
 * was missed. EventSource cannot be closed and opened again with that id, and does not say why it was refused.
 */
export class Stream {
  #last = ''
  #wait = 500
  #timer
  #abort

  /** on has functions: open(), lost(), login(), event(name, data). */
  constructor(url, on) { this.url = url; this.on = on }

  close() {
    clearTimeout(this.#timer)
    this.#abort?.abort()
    this.#abort = null
  }

  async open() {
    this.close()
    const abort = this.#abort = new AbortController()
    const headers = { Accept: 'text/event-stream' }
    if (this.#last) headers['Last-Event-ID'] = this.#last
    try {
      const answer = await fetch(this.url, { signal: abort.signal, headers, cache: 'no-store' })
      if (answer.status === 401) return this.on.login()
      if (!answer.ok) throw new Error(`status ${answer.status}`)
      this.#wait = 500
      this.on.open(Boolean(this.#last))
      await this.#read(answer.body.getReader(), abort)
    } catch { /* lost */ }
    if (this.#abort !== abort) return // closed by us
    this.on.lost()
    this.#timer = setTimeout(() => this.open(), this.#wait * (0.75 + Math.random() / 2))
    this.#wait = Math.min(8000, this.#wait * 2)
  }

  async #read(reader, abort) {
    const decoder = new TextDecoder()
    let text = ''
    for (;;) {
      // A connection that nobody has closed may be dead all the same.
      const quiet = setTimeout(() => reader.cancel().catch(() => {}), silence)
      const { value, done } = await reader.read().finally(() => clearTimeout(quiet))
      if (done || abort.signal.aborted) return
      text += decoder.decode(value, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop()
      for (const block of blocks) this.#event(block)
    }
  }

  #event(block) {
    let name = 'message', data = ''
    for (const line of block.split('\n')) {
      if (line.startsWith('event: ')) name = line.slice(7)
      else if (line.startsWith('data: ')) data += line.slice(6)
      else if (line.startsWith('id: ')) this.#last = line.slice(4)
    }
    if (data) this.on.event(name, data)
  }
}

/** The last thing that the stream has said about each run, by id. */
export const changed = new Map()

const fresh = [] // functions that take over parts of the page: (document, changes) => undefined
/** Registers a part of the page that changes itself. f gets the page as it is now. */
export const onFresh = f => fresh.push(f)

/** The way to the login, and back to this page. */
export function login() {
  const here = location.pathname.slice(base.length) + location.search + location.hash
  location.href = `${base}/login?to=${encodeURIComponent(here)}`
}

/** Fetches this page as it is now. */
export async function fetchPage(url = location.pathname + location.search) {
  const answer = await fetch(url, { headers: { Accept: 'text/html' }, cache: 'no-store' })
  if (answer.status === 401) { login(); throw new Error('not logged in') }
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  return new DOMParser().parseFromString(await answer.text(), 'text/html')
}

/** Changes an element into another one, and leaves alone what people have opened or typed. */
export function morph(now, next) {
  Idiomorph.morph(now, next, { ignoreActiveValue: true, callbacks: {
    beforeNodeMorphed: mayMorph,
    beforeAttributeUpdated: (name, node) => !(name === 'open' && node.tagName === 'DETAILS'),
  } })
}

let timer = 0, busy = false, whole = false, pause = 800
const soon = () => { timer ||= setTimeout(() => { timer = 0; refresh(false) }, pause) }

/** Brings the page up to date: if all, whatever has changed. */
export async function refresh(all = true) {
  whole ||= all
  if (busy) return soon()
  all = whole
  whole = false
  const run = $('#run')
  if (!all && run && !changed.has(run.dataset.id)) return
  busy = true
  const begun = performance.now(), known = new Map(changed)
  try {
    const doc = await fetchPage()
    for (const id of ['doubts', 'fresh']) {
      const now = document.getElementById(id), next = doc.getElementById(id)
      if (now && next) morph(now, next)
    }
    for (const f of fresh) f(doc, changed)
    // What came while the page was on its way may be newer than the page.
    for (const [id, run] of known) if (changed.get(id) === run) changed.delete(id)
    document.dispatchEvent(new Event('fresh'))
    times()
    // A slow or busy server is asked less often.
    pause = Math.min(10_000, Math.max(800, 4 * (performance.now() - begun)))
  } catch {
    whole = true // the stream says whether the connection is lost
    if (!lostAt) setTimeout(soon, 2000)
  } finally { busy = false }
}

// ---------- what people see of the connection ----------
let lostAt = 0
function lost(mark) {
  lostAt ||= Date.now()
  mark.hidden = false
  mark.textContent = 'connection lost, trying again'
  mark.classList.add('lost')
  if ($('#lost')) return
  const at = when(lostAt, 'clock').slice(0, 8)
  const text = `The server does not answer. This page shows what was known at ${at}, and goes on by itself.`
  $('#main')?.prepend(h('p', { class: 'notice', id: 'lost', role: 'status' }, text))
}
function found(mark) {
  mark.hidden = false
  mark.textContent = 'live'
  mark.classList.remove('lost')
  $('#lost')?.remove()
  if (lostAt) say('The server answers again')
  lostAt = 0
}

// A form that is sent to a server that is away would be replaced by an error of the browser, and lost with all that was typed.
function keepForms(e) {
  const notice = $('#lost')
  if (!lostAt || !notice) return
  e.preventDefault()
  e.stopImmediatePropagation()
  notice.textContent = 'Nothing was sent, because the server does not answer. What you have typed stays here: try again when this line has gone.'
  notice.scrollIntoView({ block: 'nearest' })
  say(notice.textContent)
}

/** Begins to follow the runs, if the page is one that can. */
export function follow() {
  const mark = $('#live')
  if (!mark || $('#retry')) return
  const stream = new Stream(`${base}/api/v1/events`, {
    login,
    lost: () => lost(mark),
    open: again => { found(mark); if (!again) refresh(true); else soon() },
    event: (name, data) => {
      if (name === 'reset') return refresh(true)
      if (name !== 'run') return
      const r = JSON.parse(data)
      changed.set(r.id, r)
      soon()
    },
  })
  stream.open()
  addEventListener('submit', keepForms, { capture: true })
  // A browser has six connections to a server, so pages that nobody sees give theirs back, and catch up later.
  document.addEventListener('visibilitychange', () => { if (document.hidden) stream.close(); else stream.open() })
  addEventListener('pagehide', () => stream.close())
  addEventListener('pageshow', e => { if (e.persisted) stream.open() })
}
