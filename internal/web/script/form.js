// What forms have besides HTML: a menu that closes again, and files that are sent with their progress.
import { base, $, $$ } from './dom.js'

// One menu of actions is open at a time; a click elsewhere and Esc close it.
document.addEventListener('click', e => {
  for (const open of $$('details:is(.act, .rowact)[open]')) if (!open.contains(e.target)) open.open = false
})
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape') return
  for (const open of $$('details:is(.act, .rowact)[open]')) { open.open = false; $('summary', open).focus() }
})

// A module goes from the file to the API directly: it is large, and the browser then knows how much of it has been sent.
const upload = $('#upload')
if (upload) {
  upload.hidden = false
  upload.addEventListener('submit', e => { e.preventDefault(); add(upload) })
  upload.elements.file.addEventListener('change', () => {
    const name = upload.elements.name, file = upload.elements.file.files[0]
    if (file && !name.value) name.value = file.name.replace(/\.wasm$/, '')
  })
}
function add(form) {
  const file = form.elements.file.files[0], name = form.elements.name.value.trim()
  const button = $('button', form), bar = $('progress', form), said = $('[role=status]', form)
  const say = (text, failed) => { said.textContent = text; said.classList.toggle('failed', Boolean(failed)) }
  const over = text => { say(text, true); button.disabled = false; bar.hidden = true }
  const request = new XMLHttpRequest()
  request.open('PUT', `${base}/api/v1/modules/${encodeURIComponent(name)}`)
  request.setRequestHeader('Content-Type', 'application/wasm')
  request.setRequestHeader('Accept', 'application/json')
  request.upload.onprogress = p => { bar.max = p.total; bar.value = p.loaded; say('Sending it…') }
  request.upload.onload = () => { bar.removeAttribute('value'); say('The server compiles it…') }
  request.onerror = () => over('The connection was lost. Adding it again is safe: the same bytes are added once.')
  request.onload = () => {
    let answer = {}
    try { answer = JSON.parse(request.responseText) } catch { /* not from the server: the status says enough */ }
    if (request.status < 300) location.href = `${base}/modules/${encodeURIComponent(name)}`
    else over(answer.detail || `The answer was ${request.status}. Try again, or use the command.`)
  }
  button.disabled = true; bar.hidden = false
  request.send(file)
}
