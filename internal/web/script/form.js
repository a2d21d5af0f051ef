// What forms have besides HTML: commands that can be copied, and a menu that closes again.
import { $, $$ } from './dom.js'

/** Copies the command next to a button, and says so on the button. */
export async function copy(button) {
  const text = $('code', button.parentElement).textContent
  try {
    await navigator.clipboard.writeText(text)
    button.textContent = 'Copied'
  } catch { // the browser does not allow it without HTTPS: select the text, so that a key copies it
    getSelection().selectAllChildren($('code', button.parentElement))
    button.textContent = 'Selected'
  }
  setTimeout(() => { button.textContent = 'Copy' }, 2000)
}

// One menu of actions is open at a time; a click elsewhere and Esc close it.
document.addEventListener('click', e => {
  for (const open of $$('details.act[open]')) if (!open.contains(e.target)) open.open = false
})
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape') return
  for (const open of $$('details.act[open]')) { open.open = false; $('summary', open).focus() }
})
