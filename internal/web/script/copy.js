// Buttons that copy a text.
import { h } from './dom.js'
import { say } from './habits.js'

/** Copies a text, and says so on the button. */
export async function copy(text, button) {
  button.dataset.label ||= button.textContent
  let done = true
  try {
    await navigator.clipboard.writeText(text)
  } catch { // without HTTPS there is no clipboard, but the older way
    const area = h('textarea', { class: 'sr', 'aria-hidden': 'true' })
    area.value = text
    document.body.append(area)
    area.select()
    done = document.execCommand('copy')
    area.remove()
  }
  button.textContent = done ? 'Copied' : 'Select it by hand'
  say(button.textContent)
  setTimeout(() => { button.textContent = button.dataset.label }, 2000)
}

document.addEventListener('click', e => {
  const button = e.target.closest?.('[data-copy]')
  if (button) copy(button.dataset.copy, button)
})
