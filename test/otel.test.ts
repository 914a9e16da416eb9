import { together } from './fixtures/together.js'

// A process has one SDK, and one manager of contexts.
await together(folder => folder === 'otel')
