// What every page has. Each part of the console is a module; pages say by their elements which of them they need.
import { $, $$ } from './dom.js'
import { setTheme, setZone } from './habits.js'
import { help, key, noteKey } from './keys.js'
import { follow } from './live.js'
import { palette } from './palette.js'
import { listKeys } from './list.js'
import { bulk, picked } from './bulk.js'
import { inbox } from './inbox.js'
import { chart } from './chart.js'
import './copy.js'
import './form.js'
import { bundlePage } from './bundle.js'
import { familyTree } from './family.js'
import { forkPage } from './fork.js'
import { runPage } from './run.js'

document.documentElement.classList.add('js')

const actions = { theme: () => setTheme(), zone: () => setZone(), palette, help }
for (const el of $$('[data-do]')) el.hidden = false
document.addEventListener('click', e => {
  const el = e.target.closest?.('[data-do]')
  if (el) actions[el.dataset.do]()
})

key('Ctrl+k', 'Everywhere', 'go to a run or a page, or do something', palette, '⌘K')
key('/', 'Everywhere', 'filter', () => {
  const field = $('#logfilter') || $('#q')
  if (!field) return false
  field.focus()
  field.select?.()
})
key('?', 'Everywhere', 'this list', help)
noteKey('Esc', 'Everywhere', 'close, or leave a field')

if ($('#bulk')) listKeys(null, picked)
bulk()
inbox()
if ($('#bulk')) noteKey('Enter', 'Lists', 'open the row')
chart()
if ($('#run')) {
  noteKey('← →', 'Run', 'previous and next turn')
  noteKey('+ − 0', 'Run', 'zoom the timeline')
  runPage($('#run'))
}
if ($('#bundle')) bundlePage($('#bundle'))
familyTree()
if ($('form.fork')) forkPage($('form.fork'))
if ($('#retry')) setTimeout(() => location.reload(), 5000) // looks whether the server is back
follow()
