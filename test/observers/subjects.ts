/**
 * Requests as observers see them, without requests.
 */
import type { Log, Subject } from '../../lib/observers/observer.js'
import { Tally } from '../../lib/observers/tally.js'

export interface Line {
  readonly level: string
  readonly fields: object
  readonly message: string
}

/** A subject that keeps what is logged through it. */
export class TestSubject implements Subject {
  readonly tally = new Tally('GET', '/word/:word')
  readonly lines: Line[] = []
  readonly id: string
  readonly leaderId: string | undefined
  readonly request = { url: '/word/secret' }
  leaderRequest: object | undefined = this.request
  gone = false
  readonly log: Log

  constructor (id: string, leaderId = id, isLevelEnabled?: (level: string) => boolean) {
    this.id = id
    this.leaderId = leaderId
    const at = (level: string) => (fields: object, message: string): void => { this.lines.push({ level, fields, message }) }
    this.log = { debug: at('debug'), warn: at('warn'), error: at('error'), ...isLevelEnabled === undefined ? {} : { isLevelEnabled } }
  }
}
