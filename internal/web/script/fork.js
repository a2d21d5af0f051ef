// The form of a fork: whether the answer is JSON, and the command that does the same.
import { $, $$ } from './dom.js'
import { quoted } from './payload.js'

export function forkPage(form) {
  const text = $('[data-json]', form),
    say = $('.check-json', form),
    command = $('[data-command]', form)
  const check = () => {
    say.classList.remove('bad')
    say.textContent = ''
    if (!text.value.trim()) return
    try {
      JSON.parse(text.value)
      say.textContent = 'The body is JSON.'
    } catch (err) {
      say.classList.add('bad')
      say.textContent = `The body is not JSON, and is sent as text: ${err.message}`
    }
  }
  const write = () => {
    const f = n => form.elements[n].value
    const words = ['flawless workflow fork', quoted(decodeURIComponent(form.action.split('/').at(-2))), '--turn', quoted(f('turn'))]
    if (f('call'))
      words.push(
        '--answer',
        quoted(`${f('call')}=answer.json`),
        ...(f('status') ? ['--status', quoted(`${f('call')}=${f('status')}`)] : [])
      )
    if (f('version')) words.push('--version', quoted(f('version')))
    if (f('id')) words.push('--id', quoted(f('id')))
    if ($$('[name=how]', form).find(x => x.checked)?.value === 'offline') words.push('--offline')
    command.textContent = words.join(' ')
  }
  form.addEventListener('input', () => {
    check()
    write()
  })
  check()
  write()
}
