/**
 * Elements: made once, changed in place.
 *
 * Invariant: what is shown of others is only ever text. What has the focus keeps it when rows move, and hands it to its section's heading when it goes.
 */

type Child = Node | string
type Tags = HTMLElementTagNameMap
type Shapes = SVGElementTagNameMap

export function el<Name extends keyof Tags> (name: Name, className?: string, ...children: Child[]): Tags[Name] {
  const element = document.createElement(name)
  if (className) element.className = className
  element.append(...children)
  return element
}

export function svg<Name extends keyof Shapes> (name: Name, attributes: Record<string, string>, ...children: Node[]): Shapes[Name] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const attribute in attributes) element.setAttribute(attribute, attributes[attribute] as string)
  element.append(...children)
  return element
}

export const byId = (id: string): HTMLElement => document.getElementById(id) as HTMLElement

/** Does not touch what is the same already. */
export function say (node: Node | string, text: string): void {
  const where = typeof node === 'string' ? byId(node) : node
  if (where.textContent !== text) where.textContent = text
}

export function attribute (element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value)
}

export function button (text: string, press: () => void): HTMLButtonElement {
  const element = el('button', '', text)
  element.type = 'button'
  element.onclick = press
  return element
}

/** Names with what belongs to them. */
export function pairs (list: ReadonlyArray<readonly [name: string, value: Node]>): HTMLElement {
  return el('dl', '', ...list.map(([name, value]) => el('div', '', el('dt', '', name), value)))
}

export interface Row<Item> {
  readonly node: Element
  readonly update: (item: Item) => void
}

/** Children of an element, one for each item: gives what shows other items. */
export function rows<Item> (parent: Element, keyOf: (item: Item) => string, make: (item: Item) => Row<Item>):
(items: readonly Item[]) => void {
  let shown = new Map<string, Row<Item>>()
  return items => {
    const latest = new Map<string, Row<Item>>()
    for (const item of items) {
      let key = keyOf(item)
      while (latest.has(key)) key += ' again'
      const row = shown.get(key) ?? make(item)
      row.update(item)
      latest.set(key, row)
    }
    const focused = document.activeElement as HTMLElement
    for (const [key, { node }] of shown) if (!latest.has(key)) remove(node)
    shown = latest
    let next = parent.querySelector(':scope > :not(thead, caption)')
    for (const { node } of latest.values()) {
      if (node === next) next = next.nextElementSibling
      else parent.insertBefore(node, next)
    }
    if (document.activeElement !== focused && parent.contains(focused)) focused.focus({ preventScroll: true })
  }
}

function remove (node: Element): void {
  const heading = node.contains(document.activeElement) && node.closest('section')?.querySelector('h2')
  node.remove()
  if (!heading) return
  heading.tabIndex = -1
  heading.focus({ preventScroll: true })
}

/** A cell of a column; with `#` before the column's name it is one of figures. */
export function cell (tag: 'td' | 'th', name: string, ...children: Child[]): HTMLTableCellElement {
  return el(tag, name.startsWith('#') ? 'n' : '', ...children)
}

/** A table in a section, which is hidden while it is empty; then a sentence of the section is there instead. */
export function table<Item> (section: string, name: string, headings: readonly string[], keyOf: (item: Item, index: number) => string,
  cells: (item: Item, index: number) => readonly string[], buttons?: false | ((latest: () => Item) => readonly HTMLButtonElement[])):
  (items: readonly Item[]) => void {
  const head = el('tr', '', ...headings.map(name => cell('th', name, name.replace('#', ''))))
  const body = el('tbody')
  const scroller = el('div', 'scroll', el('table', '', el('caption', 'unseen', name), el('thead', '', head), body))
  scroller.tabIndex = 0
  scroller.role = 'region'
  scroller.ariaLabel = name
  byId(section).append(scroller)
  if (buttons) head.append(el('td'))
  const show = rows<readonly [Item, number]>(body, item => keyOf(...item), first => {
    let [latest] = first
    const made = headings.map((name, index) => cell(index === 0 ? 'th' : 'td', name, el('bdi')))
    const node = el('tr', '', ...made)
    if (buttons) node.append(el('td', 'buttons', ...buttons(() => latest)))
    return {
      node,
      update (item) {
        latest = item[0]
        cells(...item).forEach((text, index) => { say(made[index]?.firstChild as Node, text) })
      }
    }
  })
  const empty = byId(section).querySelector<HTMLElement>('.empty')
  return items => {
    scroller.hidden = items.length === 0
    if (empty) empty.hidden = items.length > 0
    show(items.map((item, index) => [item, index] as const))
  }
}
