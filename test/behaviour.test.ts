import { together } from './fixtures/together.js'

await together(folder => folder === 'behaviour')
