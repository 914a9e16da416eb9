import Fastify from 'fastify'
import { expectAssignable, expectError, expectType } from 'tsd'
import { errors, type Advice, type CoalesceRouteOptions, type Report, type RouteReport, type Verdict, type WouldFigures } from '../../dist/lib/index.js'

const app = Fastify()

const report = app.coalesce.report()
expectType<Report>(report)
expectType<readonly RouteReport[]>(report.routes)
expectType<readonly Advice[]>(report.advice)
expectType<void>(report.assertSafe())
expectError(app.coalesce.report('/'))

for (const { confidence, evidence, id, kind, method, patch, route, silence, text } of report.advice) {
  for (const each of [id, method, route, text, evidence, silence]) expectType<string>(each)
  expectType<'low' | 'medium' | 'high'>(confidence)
  expectAssignable<string>(kind)
  expectType<CoalesceRouteOptions | undefined>(patch)
}

for (const { differences, inert, pairs, ttls, verdict, would } of report.routes) {
  expectType<Verdict>(verdict)
  expectType<number>(pairs.between.differs)
  expectType<number | undefined>(differences[0]?.within)
  expectType<readonly string[] | undefined>(inert[0]?.names)
  expectType<number | undefined>(ttls[0]?.wrong)
  expectType<readonly WouldFigures[]>(would)
}

expectError(report.advice.push())
expectAssignable<Error>(new errors.UnsafeError('GET /x: $.a differs'))
