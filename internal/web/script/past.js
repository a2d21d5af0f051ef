// Where the page of a run reads from: the API, or a file that somebody dropped onto the console.
import { base } from './dom.js'

/** A response of the API as JSON. An error says what the server said. */
export async function ask(url, options) {
  const answer = await fetch(url, options)
  const type = answer.headers.get('Content-Type') || ''
  const body = type.includes('json') ? await answer.json() : null
  if (!answer.ok) throw new Error(body?.detail || body?.title || `the server answered with status ${answer.status}`)
  return { body, headers: answer.headers }
}

/** How many records a page of the log has at most; the server ends a page earlier if it gets too large. */
const pageLimit = 1000

/** The past of a run on a server. */
export class ServerPast {
  canReplay = true
  #files = new Map()
  constructor(id, module) {
    Object.assign(this, { id, module, api: `${base}/api/v1/runs/${encodeURIComponent(id)}` })
  }

  /**
   * Yields the pages of the log. Long bodies are not in them; record() has them. The next page is asked for as soon as the
   * server has named it, so that it makes that page while this one is read.
   */
  async * pages() {
    const url = from => `${this.api}/log?brief=true&from=${from}&limit=${pageLimit}`
    for (let coming = fetch(url(0)); coming;) {
      const answer = await coming
      const next = /[?&]from=(\d+)/.exec(answer.headers.get('Link') || '')
      coming = next ? fetch(url(next[1])) : null
      coming?.catch(() => {}) // whoever waits for it gets the error
      if (!answer.ok) throw new Error((await answer.json()).detail)
      yield await answer.json()
    }
  }

  /** Returns one record with everything in it. */
  async record(seq) { return (await ask(`${this.api}/log?from=${seq}&limit=1`)).body[0] }

  /** Replays the run on the server up to a turn. */
  async inspect(turn, signal) { return (await ask(`${this.api}/inspect?turn=${turn}`, { signal })).body }

  /** Yields the places that contain a text, in the order of the log. */
  async * find(text, signal) {
    for (let from = 0, more = true; more;) {
      const { body } = await ask(`${this.api}/find?text=${encodeURIComponent(text)}&from=${from}`, { signal })
      yield* body.matches
      from = body.next; more = Boolean(from)
    }
  }

  /** Returns a source file of the module of that digest, or null if the module does not carry it. */
  async file(digest, name) {
    const url = `${base}/api/v1/modules/${encodeURIComponent(this.module)}/source?digest=${digest}`
    const all = await this.#once(digest, async () => (await ask(url)).body.files || [])
    const found = fileOf(all, name)
    if (!found) return null
    return this.#once(`${digest} ${found.name}`, async () => (await ask(`${url}&file=${encodeURIComponent(found.name)}`)).body.files[0])
  }

  /** What is asked for once is kept, unless it failed. */
  #once(key, get) {
    if (!this.#files.has(key)) this.#files.set(key, get().catch(err => { this.#files.delete(key); throw err }))
    return this.#files.get(key)
  }

  /** Calls record for each new record, and ended when the run has ended. */
  follow(from, record, ended) {
    let next = from
    const connect = () => {
      const stream = new EventSource(`${this.api}/events?from=${next}`)
      stream.addEventListener('record', e => { const rec = JSON.parse(e.data); if (rec.seq >= next) { next = rec.seq + 1; record(rec) } })
      stream.addEventListener('run', () => { stream.close(); ended() })
      stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000) }
    }
    connect()
  }
}

/** The past of a run in a bundle: everything is here already, and nothing can be replayed. */
export class FilePast {
  canReplay = false
  constructor(view) { Object.assign(this, { id: view.run.id, module: view.run.module, log: view.log, files: view.files || [] }) }

  async * pages() { yield this.log }
  async record(seq) { return this.log.find(r => r.seq === seq) }
  async file(digest, name) { return fileOf(this.files, name) || null }
  async * find(text) {
    for (const rec of this.log) {
      for (const { turn } of rec.entries) {
        if (!turn) continue
        const has = v => v !== undefined && (typeof v === 'string' ? v : JSON.stringify(v)).includes(text)
        for (const l of turn.lines || []) if (has(l.text) || has(l.fields)) yield { turn: turn.n, what: 'line', text: l.text }
        for (const c of turn.calls || []) if (has(c.head) || has(c.body)) yield { turn: turn.n, what: 'call', call: c.n, text: c.kind }
        if (has(turn.data)) yield { turn: turn.n, what: 'data', text }
      }
    }
  }
}

/** The file that a name means: that of the name, or the only one whose path ends in it, as internal/source finds it. */
function fileOf(files, name) {
  const found = files.filter(f => f.name.endsWith(`/${name}`))
  return files.find(f => f.name === name) || (found.length === 1 ? found[0] : undefined)
}
