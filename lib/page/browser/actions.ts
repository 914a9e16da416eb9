/**
 * What the page asks the server to do.
 *
 * Invariant: what cannot be taken back wants a second press within a few seconds. What came of it is said.
 */
import { PAGE_HEADER, type PageAction, type PageQuestion } from '../state.js'
import { button, say } from './dom.js'
import { urlOf, whatIsWrong } from './poll.js'

const SURE = 4000

/** @throws what the server says is wrong */
export async function post (path: string, body: PageAction | PageQuestion): Promise<unknown> {
  const response = await fetch(urlOf(path), { method: 'POST', headers: { 'content-type': 'application/json', [PAGE_HEADER]: '1' }, body: JSON.stringify(body) })
  const answer = await response.json() as { error?: string, message?: string }
  if (!response.ok) throw new Error(answer.message ?? answer.error)
  return answer
}

/** A button; with `isSure` it is pressed once. `action` says what it does, and what to say of it. */
export function actionButton (text: string, action: () => readonly [PageAction, said: string], isSure = false): HTMLButtonElement {
  let timer: ReturnType<typeof setTimeout> | undefined
  const calm = (): void => {
    clearTimeout(timer)
    timer = undefined
    say(element, text)
  }
  const element = button(text, () => {
    if (!isSure && !timer) {
      say(element, `${text}: sure?`)
      timer = setTimeout(calm, SURE)
      return
    }
    calm()
    const [asked, what] = action()
    post('actions', asked).then(() => { say('said', `Done: ${what}.`) }, error => { say('said', `Not done: ${whatIsWrong(error)}`) })
  })
  element.onblur = calm
  return element
}
