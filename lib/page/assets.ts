/**
 * The files of the live page, as texts, so that an app that is bundled into one file serves them as well.
 *
 * Invariant: each is below the page's path under its own name and asks for the others by that name alone; nothing is inline.
 */

export const PAGE_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastify-coalesce</title>
<link rel="stylesheet" href="page.css">
<script type="module" src="page.js"></script>
</head>
<body>
<pre id="state"></pre>
</body>
</html>
`

export const PAGE_JS = `const show = async () => {
  const response = await fetch('state')
  document.getElementById('state').textContent = JSON.stringify(await response.json(), null, 2)
}
show()
setInterval(show, 1000)
`

export const PAGE_CSS = `:root { color-scheme: light dark }
`
