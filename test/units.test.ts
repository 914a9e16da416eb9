import { together } from './fixtures/together.js'

await together(folder => folder !== 'http' && folder !== 'behaviour' && folder !== 'redis' && folder !== 'otel')
