import t from 'tap'
import { nullStore } from '../../lib/stores/null.js'
import { conforms } from './conformance.js'

conforms(t, { name: 'null', open: () => ({ store: nullStore, advance: () => {} }), forgets: true })
