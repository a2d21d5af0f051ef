// Buttons that copy a text.
import { say } from './habits.js'

/** Copies the text of a button with data-copy, and says so on the button. */
export async function copy(button) {
  button.dataset.label ||= button.textContent
  try {
    await navigator.clipboard.writeText(button.dataset.copy)
    button.textContent = 'Copied'
  } catch { // the browser does not allow it without HTTPS: select the text, so that a key copies it
    getSelection().selectAllChildren(button.previousElementSibling)
    button.textContent = 'Selected'
  }
  say(button.textContent)
  setTimeout(() => { button.textContent = button.dataset.label }, 2000)
}

document.addEventListener('click', e => {
  const button = e.target.closest?.('[data-copy]')
  if (button) copy(button)
})
