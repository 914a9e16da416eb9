/**
 * An app from a file, as fastify-cli takes it: a plugin; or a Fastify instance, or a function that makes one.
 *
 * Invariant: the app is made with its own Fastify, and asked through its own copy of this package.
 */
import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance, FastifyPluginAsync, FastifyServerOptions } from 'fastify'
import type { Coalesce } from '../../types/index.js'
import { instancesOf } from '../fastify/internals.js'

export interface LoadedApp {
  readonly explain: Coalesce['explain']
  readonly close: () => Promise<void>
}

type Exports = Readonly<Record<string, unknown>>
type Build = (options: object) => unknown

/** @param withOptions makes the app of a plugin with the options that the file exports */
export async function loadApp (file: string, cwd: string, withOptions: boolean): Promise<LoadedApp> {
  const path = resolve(cwd, file)
  if (!existsSync(path)) throw new Error(`there is no file ${path}`)
  const exported = await exportsOf(path)
  const app = await appOf(exported, path, withOptions)
  const close = async (): Promise<void> => { await app.close() }
  try {
    await app.ready()
    const asked = instancesOf(app).find(({ coalesce }) => (coalesce as Coalesce | undefined) !== undefined)
    if (asked === undefined) throw new Error(`the app in ${file} does not register fastify-coalesce`)
    return { explain: asked.coalesce.explain, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function exportsOf (path: string): Promise<Exports> {
  const module = await import(pathToFileURL(path).href) as Exports
  // What CommonJS exports is a default here, and what was compiled to that has a default in it.
  const own = module.default as Exports | undefined
  return own?.__esModule === true ? own : isInstance(own) ? module : { ...own, ...module }
}

async function appOf (exported: Exports, path: string, withOptions: boolean): Promise<FastifyInstance> {
  const { app, build, default: own } = exported
  const given = [own, app].find(isInstance)
  if (given !== undefined) return given
  const builder = typeof build === 'function' ? build as Build : typeof own === 'function' && own.length === 0 ? own as Build : undefined
  if (builder !== undefined) {
    const built = await builder({})
    if (isInstance(built)) return built
    throw new Error(`what ${path} exports takes no instance and gives none`)
  }
  if (typeof own !== 'function') throw new Error(`${path} exports neither a plugin (function (fastify, options)) nor a Fastify instance`)
  const instance = fastifyOf(path)(withOptions ? exported.options as FastifyServerOptions : {})
  instance.register(own as FastifyPluginAsync)
  return instance
}

/** The Fastify that the app has. */
function fastifyOf (path: string): (options: FastifyServerOptions) => FastifyInstance {
  const load = createRequire(path)
  return load('fastify') as (options: FastifyServerOptions) => FastifyInstance
}

function isInstance (value: unknown): value is FastifyInstance {
  const { inject, ready, register } = (value ?? {}) as Partial<FastifyInstance>
  return typeof value === 'object' && [inject, ready, register].every(method => typeof method === 'function')
}
