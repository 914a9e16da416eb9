/**
 * "Processes of one app have one name, and those of different apps have different ones, without anybody choosing any."
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { appName, ownName } from '../../lib/redis/app-name.js'
import { readCoordinatorOptions } from '../../lib/redis/options.js'
import { readStoreOptions } from '../../lib/redis/store/options.js'

/** Files of a machine: texts of package.json, and modules. */
interface Machine {
  readonly packages: Readonly<Record<string, string>>
  readonly modules?: readonly string[]
  readonly links?: Readonly<Record<string, string>>
}

function named ({ packages, modules = [], links = {} }: Machine, argv: readonly string[], cwd = '/'): string | undefined {
  return appName({
    argv,
    cwd,
    find: path => [path, `${path}.js`, `${path}/index.js`].map(path => links[path] ?? path).find(path => modules.includes(path)),
    read: path => packages[path]
  })
}

const SHOP = { '/srv/shop/package.json': '{ "name": "shop" }' }

t.test('a name is that of the package whose folder the main script is in', async t => {
  const machine = { packages: SHOP, modules: ['/srv/shop/server.js', '/srv/shop/index.js'] }
  t.equal(named(machine, ['/srv/shop/server.js']), 'shop')
  t.equal(named(machine, ['/srv/shop/server']), 'shop', 'without its extension')
  t.equal(named(machine, ['/srv/shop']), 'shop', 'by its folder')
  t.equal(named(machine, ['/srv/shop/server.js', '--port', '3001'], '/tmp'), 'shop', 'whatever the arguments, and wherever it was started')
})

t.test('scripts of one package that are in other folders have names of their own', async t => {
  const machine = { packages: SHOP, modules: ['/srv/shop/src/server.js', '/srv/shop/src/admin.js', '/srv/shop/src-server.js'] }
  const server = named(machine, ['/srv/shop/src/server.js'])
  t.match(server, /^shop-src-server\.js-[0-9a-f]{12}$/)
  t.match(named(machine, ['/srv/shop/src/admin.js']), /^shop-src-admin\.js-[0-9a-f]{12}$/)
  const moved = { packages: { '/home/ada/package.json': '{ "name": "shop" }' }, modules: ['/home/ada/src/server.js'] }
  t.equal(named(moved, ['/home/ada/src/server.js']), server, 'the same wherever the package is')
})

t.test('a package without a name is passed by', async t => {
  for (const text of ['{ "type": "module" }', '{ "name": "" }', '{ "name": 1 }', 'null', '{']) {
    const machine = { packages: { ...SHOP, '/srv/shop/dist/package.json': text }, modules: ['/srv/shop/dist/server.js'] }
    t.match(named(machine, ['/srv/shop/dist/server.js']), /^shop-dist-server\.js-/, text)
  }
})

t.test('a link to a script is that script', async t => {
  const machine = {
    packages: { '/srv/releases/7/package.json': '{ "name": "shop" }' },
    modules: ['/srv/releases/7/server.js'],
    links: { '/srv/current/server.js': '/srv/releases/7/server.js' }
  }
  t.equal(named(machine, ['/srv/current/server.js']), 'shop')
})

t.test('an app that an installed program runs is named by the module that the program is given', async t => {
  const cli = '/srv/shop/node_modules/fastify-cli/cli.js'
  const machine = { packages: SHOP, modules: [cli, '/srv/shop/app.js', '/srv/shop/src/app.mjs', '/srv/shop/node_modules/hook/register.js'] }
  t.equal(named(machine, [cli, 'start', 'app.js'], '/srv/shop'), 'shop')
  t.match(named(machine, [cli, 'start', '--import', './node_modules/hook/register.js', '/srv/shop/src/app.mjs'], '/'), /^shop-src-app\.mjs-/)
})

t.test('without such a module it is named by where it was started, and by the program', async t => {
  const [one, other] = ['one', 'other'].map(name => `/usr/lib/node_modules/${name}/bin.js`) as [string, string]
  const machine = { packages: SHOP, modules: [one, other] }
  t.match(named(machine, [one, 'start', 'gone.js'], '/srv/shop'), /^shop-one-bin\.js-/)
  t.match(named(machine, [other], '/srv/shop'), /^shop-other-bin\.js-/)
  t.equal(named(machine, [], '/srv/shop'), 'shop', 'and without a script by where it was started')
  t.equal(named(machine, ['/gone.js'], '/srv/shop'), 'shop')
})

t.test('what cannot stand in a namespace is replaced, and told apart', async t => {
  const of = (name: string): string => named({ packages: { '/a/package.json': JSON.stringify({ name }) }, modules: ['/a/a.js'] }, ['/a/a.js']) as string
  t.match(of('@acme/shop'), /^acme-shop-[0-9a-f]{12}$/)
  t.not(of('@acme/shop'), of('@acme:shop'))
  t.match(of('x'.repeat(65)), /^x{48}-[0-9a-f]{12}$/)
  t.not(of('x'.repeat(65)), of('x'.repeat(66)))
  t.equal(of('x'.repeat(64)), 'x'.repeat(64))
  t.match(of('ü'), /^-[0-9a-f]{12}$/)
})

t.test('without any package there is no name', async t => {
  t.equal(named({ packages: {}, modules: ['/a.js'] }, ['/a.js']), undefined)
  t.equal(named({ packages: {} }, []), undefined)
})

t.test('the coordinator and the store have the name of the app as their namespace, and say what is missing where it has none', async t => {
  const client = new Redis({ lazyConnect: true })
  const own = ownName()
  t.type(own, 'string')
  for (const read of [readCoordinatorOptions, readStoreOptions]) {
    t.equal(read({ client }).namespace, own)
    t.equal(read({ client, namespace: 'other' }).namespace, 'other')
  }

  const { argv, cwd } = process
  Object.assign(process, { argv: [argv[0]], cwd: () => '/' })
  try {
    t.equal(ownName(), undefined)
    for (const [name, read] of Object.entries({ redisCoordinator: readCoordinatorOptions, redisStore: readStoreOptions })) {
      const message = `${name} options.namespace must be a name of 1 to 64 letters, digits, \`_\`, \`.\` and \`-\`, ` +
        'since the app has none: no package.json above its main script has a name, got undefined'
      t.throws(() => read({ client }), { message, code: 'FST_COALESCE_INVALID_OPTION' })
      t.equal(read({ client, namespace: 'other' }).namespace, 'other')
    }
  } finally {
    Object.assign(process, { argv, cwd })
  }
})
