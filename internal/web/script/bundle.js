// The page of a run from a file: the server reads the file without keeping it.
import { base, h, $ } from './dom.js'
import { ask, FilePast } from './past.js'
import { payload } from './payload.js'
import { runPage } from './run.js'

export function bundlePage(root) {
  const drop = $('.drop', root),
    input = $('input', root),
    wrong = $('#wrong', root)
  const read = async file => {
    if (!file) return
    wrong.hidden = true
    drop.setAttribute('aria-busy', 'true')
    try {
      const { body } = await ask(`${base}/api/v1/bundles/view`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/octet-stream' },
        body: file
      })
      show(body, file.name)
    } catch (err) {
      wrong.textContent = `${file.name} cannot be shown: ${err.message}`
      wrong.hidden = false
    } finally {
      drop.removeAttribute('aria-busy')
    }
  }
  input.addEventListener('change', () => read(input.files[0]))
  for (const name of ['dragover', 'dragleave', 'drop']) {
    document.addEventListener(name, e => {
      e.preventDefault()
      drop.classList.toggle('over', name === 'dragover')
      if (name === 'drop') read(e.dataTransfer?.files[0])
    })
  }
}

function show(view, name) {
  const r = view.run,
    place = $('#shown'),
    run = h('div', { id: 'run', 'data-id': r.id, 'data-open': 'false' })
  const start = view.log[0]?.entries[0]?.start
  const fact = (k, v) => (v ? h('div', {}, h('dt', {}, k), h('dd', { class: 'clip' }, h('bdi', {}, String(v)))) : '')
  $('h1').textContent = ''
  $('h1').append(h('bdi', {}, r.id))
  place.replaceChildren(
    h('p', { class: 'lead sentence' }, h('span', { class: `st ${r.status}` }, r.status), ' ', r.problem || r.failure?.message || ''),
    h(
      'dl',
      { class: 'facts' },
      fact('File', name),
      fact('Workflow', `${r.module}/${r.workflow}`),
      fact('Code', r.digest?.slice(0, 8)),
      fact('Created', r.created),
      fact('Ended', r.ended),
      fact('Redacted', view.redacted?.join(', '))
    ),
    h(
      'div',
      { class: 'panel' },
      start?.input !== undefined ? payload({ name: 'Input', body: start.input }) : '',
      r.output !== undefined ? payload({ name: 'Output', body: r.output }) : ''
    ),
    run
  )
  runPage(run, new FilePast(view))
}
