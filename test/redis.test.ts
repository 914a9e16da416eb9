import t from 'tap'
import { hasRedis, NOT_RUN } from './fixtures/redis/server.js'
import { together } from './fixtures/together.js'

if (!hasRedis) t.comment(NOT_RUN)
await together(folder => folder === 'redis')
