/**
 * The report of a registration: what was found, what is advised, and whether what was compared may be shared.
 */
import type { Report, RouteReport } from '../../types/index.js'
import { UnsafeError } from '../errors.js'
import { advise } from './advise.js'
import type { RouteFacts } from './facts.js'
import { placesOf, UNSAFE } from './leak.js'
import { isUnseen, unseenOf } from './unseen.js'
import { count, total } from './words.js'

/** The most routes that an error names. */
const MOST = 20

export function reportOf (facts: readonly RouteFacts[], silenced: ReadonlySet<string>): Report {
  const routes = facts.flatMap(({ observed }) => observed === undefined ? [] : [observed])
  return Object.freeze<Report>({
    routes,
    advice: advise(facts, silenced),
    assertSafe () {
      const why = unsafe(routes)
      if (why !== undefined) throw new UnsafeError(why)
    }
  })
}

/** Why what was compared may not be shared. */
function unsafe (routes: readonly RouteReport[]): string | undefined {
  const wrong = routes.filter(route => isUnsafe(route) || isUnseen(route))
  if (wrong.length > 0) {
    const more = wrong.length > MOST ? [`and ${wrong.length - MOST} more routes`] : []
    return [...wrong.slice(0, MOST).map(sentenceOf), ...more].join('\n')
  }
  if (routes.length === 0) return 'no route is observed, so nothing was compared: observe: true for routes, or for the registration'
  if (routes.every(({ pairs: { between } }) => total(between) === 0)) return 'no two responses that one run would have answered were of different clients, so nothing was compared'
  return undefined
}

/** With too few pairs to tell what is noise, whatever differs is taken to count, also for one client if those of different ones were not seen to be equal. */
function isUnsafe (report: RouteReport): boolean {
  const { pairs: { between }, verdict } = report
  if (verdict !== 'too-few') return UNSAFE.has(verdict)
  return between.differs + between.echo > 0 || (differsWithin(report) && between.equal < Math.max(1, total(between)))
}

/** Whether responses to one client differ in more than times and ids. */
function differsWithin ({ noise, pairs: { within } }: RouteReport): boolean {
  return within.differs + within.echo > 0 || noise.length > 0
}

const VERDICTS: Readonly<Record<string, string>> = {
  differs: 'responses differ between clients',
  unknown: 'responses differ, and too few clients were seen twice to tell whether that is noise',
  echo: 'responses hold what is of their own request',
  'too-few': 'responses differ'
}

function sentenceOf (report: RouteReport): string {
  const { method, pairs: { between }, route, verdict } = report
  if (!isUnsafe(report)) return `${method} ${route}: ${unseenOf(report)}`
  if (verdict === 'too-few' && between.differs + between.echo === 0) {
    return `${method} ${route}: responses to one client differ, and too few of different clients were compared to tell whether that is noise (${count(total(between))} pairs)`
  }
  const places = placesOf(report)
  return `${method} ${route}: ${VERDICTS[verdict] as string} (${count(between.differs + between.echo)} of ${count(total(between))} pairs)${places.length === 0 ? '' : `: ${places.join('. ')}`}`
}
