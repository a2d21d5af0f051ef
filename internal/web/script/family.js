// The descendants of a run: each level is fetched when somebody opens it.
import { base, h, icon, $, $$ } from './dom.js'
import { ask } from './past.js'
import { runURL } from './run.js'

const limit = 50

async function children(id) {
  const { body } = await ask(`${base}/api/v1/runs?parent=${encodeURIComponent(id)}&limit=${limit}`)
  const list = h(
    'ul',
    { class: 'rows' },
    ...body.runs.map(r =>
      row(
        r.id,
        h('a', { class: 'clip', href: runURL(r.id) }, h('bdi', {}, r.id)),
        h('span', { class: 'grow' }),
        h('span', { class: `st ${r.status}` }, icon(r.status), r.status)
      )
    )
  )
  if (!body.runs.length) list.append(h('li', { class: 't3' }, 'No children.'))
  if (body.next) list.append(h('li', {}, h('a', { class: 'link', href: `${base}/runs?parent=${encodeURIComponent(id)}` }, 'All children')))
  return list
}

function row(id, ...content) {
  return opener(h('li', { 'data-child': id }, ...content))
}

/** Gives a row of a child the button that shows its children. */
function opener(li) {
  const button = h(
    'button',
    { type: 'button', class: 'open-children', 'aria-expanded': 'false', 'aria-label': `Children of ${li.dataset.child}` },
    '▸'
  )
  button.addEventListener('click', async () => {
    const open = li.querySelector(':scope > ul')
    button.setAttribute('aria-expanded', String(!open))
    button.textContent = open ? '▸' : '▾'
    if (open) return open.remove()
    try {
      li.append(await children(li.dataset.child))
    } catch (err) {
      li.append(h('ul', {}, h('li', { class: 'st failed', role: 'alert' }, err.message)))
    }
  })
  li.prepend(button)
  return li
}

export function familyTree() {
  const add = () =>
    $$('.family li[data-child]')
      .filter(li => !$('.open-children', li))
      .forEach(opener)
  add()
  document.addEventListener('fresh', add)
}
