#!/usr/bin/env node
/**
 * The command `fastify-coalesce`.
 */
import { main } from './main.js'

// What an app leaves open does not keep the command waiting.
process.exit(await main(process.argv.slice(2), process))
